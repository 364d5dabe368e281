import dataclasses

import pytest

from bvkeras import fileio
from bvkeras.cache.format import Manifest
from bvkeras.cache.prune import prune_cache
from bvkeras.cache.verify import find_problems
from bvkeras.errors import ArgumentError, CacheError, RunError
from tests.cache.made_caches import make_cache


@pytest.fixture
def littered(tmp_path):
    """A cache, and what killed writers and a person left beside it."""
    make_cache(tmp_path)
    (tmp_path / ".tmp.999999999.hidden_states-00001.tfrecord").write_bytes(
        b"x" * 9
    )
    (tmp_path / ".tmp.folder").mkdir()
    (tmp_path / ".tmp.folder" / "file").write_bytes(b"x" * 5)
    (tmp_path / "hidden_states-00003.tfrecord").write_bytes(b"x" * 7)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "hidden_states-00003.tfrecord.bak").write_bytes(b"")
    return tmp_path


def test_leftovers_are_removed_and_nothing_else(littered):
    assert [(path.name, size) for path, size in prune_cache(littered)] == [
        (".tmp.999999999.hidden_states-00001.tfrecord", 9),
        (".tmp.folder", 5),
        ("hidden_states-00003.tfrecord", 7),
    ]
    names = {path.name for path in littered.iterdir()} - {".lock"}
    assert names == {
        *(f"hidden_states-0000{number}.tfrecord" for number in range(3)),
        *("manifest.json", "notes.txt", "hidden_states-00003.tfrecord.bak"),
    }
    assert find_problems(littered) == []
    assert prune_cache(littered) == []


def test_dry_run_removes_nothing(littered):
    before = {path.name for path in littered.iterdir()} | {".lock"}
    assert len(prune_cache(littered, dry_run=True)) == 3
    assert {path.name for path in littered.iterdir()} == before


def test_unfinished_cache_keeps_its_finished_shards(tmp_path):
    make_cache(tmp_path)
    manifest = Manifest.read(tmp_path)
    dataclasses.replace(
        manifest, shards=manifest.shards[:2], complete=False
    ).write(tmp_path)
    ((path, _),) = prune_cache(tmp_path)
    assert path.name == "hidden_states-00002.tfrecord"
    (problem,) = find_problems(tmp_path)
    assert "unfinished, 8 of 11 examples" in str(problem)


@pytest.mark.parametrize("manifest", [None, b"", b"{}"])
def test_without_a_manifest_nothing_is_removed(littered, manifest):
    (littered / "manifest.json").unlink()
    if manifest is not None:
        (littered / "manifest.json").write_bytes(manifest)
    before = {path.name for path in littered.iterdir()}
    with pytest.raises(CacheError, match=r"manifest\.json"):
        prune_cache(littered)
    assert {path.name for path in littered.iterdir()} == before


def test_folder_that_another_process_writes(littered):
    with (
        fileio.directory_lock(littered),
        pytest.raises(RunError, match="in use by another"),
    ):
        prune_cache(littered)


def test_folder_that_is_not_local():
    with pytest.raises(ArgumentError, match="local cache, got ram://x"):
        prune_cache("ram://x")
