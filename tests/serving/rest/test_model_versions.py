"""New versions are taken into use, bad ones are not, old ones go."""

import shutil

import pytest

from bvkeras.errors import DataError
from bvkeras.serving.rest import model_versions
from bvkeras.serving.rest.model_versions import ModelVersions
from bvkeras.serving.rest.request_error import RequestError


@pytest.fixture
def folder(exported, tmp_path):
    shutil.copytree(exported.first, tmp_path / "tiny" / "1")
    return tmp_path / "tiny"


def states(versions):
    return {s["version"]: s["state"] for s in versions.status()}


def test_newest_is_served_and_comes_and_goes(folder, exported):
    versions = ModelVersions(folder)
    first = versions.get()
    assert versions.number_of(first) == 1
    shutil.copytree(exported.second, folder / "2")
    assert versions.get() is first
    versions.refresh()
    second = versions.get()
    assert versions.number_of(second) == 2
    assert "squad_v2" in second.signatures
    assert states(versions) == {"2": "AVAILABLE"}
    with pytest.raises(RequestError, match="version 1 is not served"):
        versions.get(1)
    # What was asked of the old one is still answered.
    first.warm_up()
    versions.refresh()
    assert versions.get() is second
    shutil.rmtree(folder / "2")
    versions.refresh()
    assert versions.number_of(versions.get()) == 1


def test_all_versions(folder, exported):
    shutil.copytree(exported.second, folder / "3")
    versions = ModelVersions(folder, keep_all=True)
    assert states(versions) == {"3": "AVAILABLE", "1": "AVAILABLE"}
    assert versions.get() is versions.get(3)
    assert "squad_v2" not in versions.get(1).signatures
    assert [s["version"] for s in versions.status(1)] == ["1"]
    with pytest.raises(RequestError, match="no version 2"):
        versions.status(2)
    shutil.rmtree(folder / "3")
    versions.refresh()
    assert states(versions) == {"1": "AVAILABLE"}


def test_version_that_cannot_be_served_changes_nothing(folder, exported):
    versions = ModelVersions(folder)
    first = versions.get()
    # As while it is copied: the graph comes last.
    shutil.copytree(
        exported.second,
        folder / "2",
        ignore=shutil.ignore_patterns("saved_model.pb"),
    )
    for _ in range(2):
        versions.refresh()
        assert versions.get() is first
        [second, one] = versions.status()
        assert one["state"] == "AVAILABLE"
        assert second["state"] == "END"
        assert "saved_model.pb" in second["status"]["error_message"]
    shutil.copy(exported.second / "saved_model.pb", folder / "2")
    versions.refresh()
    assert states(versions) == {"2": "AVAILABLE"}


def test_failed_version_is_tried_again_only_when_it_changed(
    folder, exported, caplog
):
    versions = ModelVersions(folder)
    shutil.copytree(exported.second, folder / "2")
    (folder / "2" / "more.txt").write_text("x")
    for _ in range(3):
        versions.refresh()
    assert caplog.text.count("version 2 is not served") == 1
    (folder / "2" / "more.txt").unlink()
    versions.refresh()
    assert versions.number_of(versions.get()) == 2


def _truncate(copy):
    [path] = (copy / "variables").glob("*.data-*")
    path.write_bytes(path.read_bytes()[:-100])


def _write(name, text):
    def damage(copy):
        (copy / "assets.extra" / name).write_text(text)

    return damage


def test_damaged_version_is_one_line_once(folder, exported, caplog):
    versions = ModelVersions(folder)
    other = '{"format": 1, "encoder": [], "tokenizer": 1, "tasks": {}}'
    for damage in (
        _truncate,
        _write("bvkeras.json", "[" * 100_000),
        _write("bvkeras.json", other),
        _write("bvkeras.json", "\x1b[2J"),
        _write("vocabulary.json", "7"),
    ):
        shutil.copytree(exported.second, folder / "2")
        damage(folder / "2")
        caplog.clear()
        for _ in range(3):
            versions.refresh()
        [record] = caplog.records
        line = caplog.handler.format(record)
        assert "version 2 is not served: " in line
        assert "tiny/2" in line
        assert line.isprintable()
        assert states(versions) == {"2": "END", "1": "AVAILABLE"}
        assert versions.status(2)[0]["status"]["error_message"] in line
        shutil.rmtree(folder / "2")
        versions.refresh()


def test_any_failure_is_one_line_once(folder, exported, monkeypatch, caplog):
    versions = ModelVersions(folder)
    for error in (IndexError("a\nb"), TypeError(), RecursionError("\x1b[2J")):

        def fail(*arguments, error=error):
            raise error

        monkeypatch.setattr(model_versions, "LoadedVersion", fail)
        shutil.copytree(exported.first, folder / "2")
        caplog.clear()
        for _ in range(3):
            versions.refresh()
        [record] = caplog.records
        assert record.exc_info is None
        line = caplog.handler.format(record)
        assert f"tiny/2: {type(error).__name__}" in line
        assert line.isprintable()
        shutil.rmtree(folder / "2")
        versions.refresh()


def test_emptied_folder_is_served_on(folder):
    versions = ModelVersions(folder)
    shutil.rmtree(folder / "1")
    versions.refresh()
    versions.get().warm_up()


def test_one_version_stays_the_one(folder, exported):
    versions = ModelVersions(folder / "1")
    shutil.copytree(exported.second, folder / "2")
    versions.refresh()
    assert states(versions) == {"1": "AVAILABLE"}


def test_nothing_to_serve_is_one_line(tmp_path, folder):
    with pytest.raises(DataError, match="no export"):
        ModelVersions(tmp_path / "none")
    (folder / "2").mkdir()
    with pytest.raises(DataError, match="tiny/2 is no export"):
        ModelVersions(folder)
