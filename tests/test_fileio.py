import errno
import hashlib
import json
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
import safetensors.numpy

from bvkeras import fileio
from bvkeras.errors import CacheError, DataError, RunError
from bvkeras.schema import NUMBER, POSITIVE, TEXT, record_of


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def fail_after(action, error):
    action()
    raise error


def test_atomic_path_replaces_the_file(tmp_path):
    path = tmp_path / "new folder" / "ünï code.txt"
    for text in ("old and longer", "new"):
        with fileio.atomic_path(path) as temporary:
            temporary.write_text(text)
    assert path.read_text() == "new"
    assert names(path.parent) == ["ünï code.txt"]


def test_atomic_path_keeps_the_old_file_until_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with fileio.atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_path_after_an_error(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with (
        pytest.raises(error),
        fileio.atomic_path(path) as temporary,
    ):
        fail_after(lambda: temporary.write_text("half"), error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.fixture
def on_disk(monkeypatch):
    """What reaches the disk, in order: inodes that are synced, "rename"."""
    calls, fsync, replace = [], os.fsync, os.replace

    def noted_fsync(descriptor):
        fsync(descriptor)
        calls.append(os.fstat(descriptor).st_ino)

    def noted_replace(source, target):
        replace(source, target)
        calls.append("rename")

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return calls


def test_atomic_path_is_synced_before_it_is_renamed(tmp_path, on_disk):
    path = tmp_path / "file"
    with fileio.atomic_path(path) as temporary:
        temporary.write_text("new")
    inodes = [one.stat().st_ino for one in (path, tmp_path)]
    assert on_disk == [inodes[0], "rename", inodes[1]]


def test_atomic_directory_is_synced_before_it_is_renamed(tmp_path, on_disk):
    path = tmp_path / "folder"
    with fileio.atomic_directory(path) as temporary:
        (temporary / "inner").mkdir()
        for name in ("file", "inner/file"):
            (temporary / name).write_text(name)
    renamed = on_disk.index("rename")
    inside = {one.stat().st_ino for one in (path, *path.rglob("*"))}
    assert set(on_disk[:renamed]) == inside
    assert on_disk[renamed + 1 :] == [tmp_path.stat().st_ino]


def test_atomic_path_keeps_the_suffix(tmp_path):
    with fileio.atomic_path(tmp_path / "model.keras") as temporary:
        assert temporary.suffix == ".keras"
        temporary.touch()


@pytest.mark.parametrize("names", [(), (".tmp.1.file.json",)])
def test_full_disk_is_named_by_the_file_it_met(tmp_path, names):
    path = tmp_path / "file.json"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *names)
    with (
        pytest.raises(OSError, match="No space") as error,
        fileio.atomic_path(path) as temporary,
    ):
        fail_after(lambda: temporary.write_text("half"), full)
    assert str(error.value) == (f"[Errno 28] No space left on device: '{path}'")


def test_error_about_another_file_is_left_alone(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="other"),
        fileio.atomic_path(tmp_path / "file.json"),
    ):
        (tmp_path / "other").read_text()


def test_atomic_directory_replaces_the_whole_folder(tmp_path):
    path = tmp_path / "folder"
    for name in ("old", "new"):
        with fileio.atomic_directory(path) as temporary:
            (temporary / name).mkdir()
            (temporary / name / "file").write_text(name)
    assert names(tmp_path) == ["folder"]
    assert names(path) == ["new"]
    assert (path / "new" / "file").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_directory_after_an_error(tmp_path, error):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(error), fileio.atomic_directory(path) as temporary:
        fail_after((temporary / "half").touch, error)
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_atomic_directory_that_cannot_be_moved_in(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    replace = os.replace

    def interrupted(source, target):
        if target == path and (source / "new").exists():
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        fileio.atomic_directory(path) as temporary,
    ):
        (temporary / "new").touch()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_remove_leftovers_of_killed_writers(tmp_path):
    script = (
        "import os, sys\n"
        "from bvkeras import fileio\n"
        "folder = sys.argv[1]\n"
        "with fileio.atomic_directory(folder + '/folder') as directory,"
        " fileio.atomic_path(folder + '/file') as path:\n"
        "    path.touch(), (directory / 'inside').touch()\n"
        "    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(names(tmp_path)) == 2
    others = (".hidden", ".tmp", "a.tmp")
    for name in others:
        (tmp_path / name).touch()
    fileio.remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(others)


def test_next_writer_removes_what_killed_ones_left(tmp_path):
    """Not what a living one writes, nor of one that has only its number."""
    alive = tmp_path / f".tmp.{os.getpid()}.alive"
    reused = tmp_path / f".tmp.{os.getpid()}.reused"
    dead = tmp_path / ".tmp.999999999.dead"
    for path in (alive, reused, dead):
        path.touch()
    os.utime(reused, (0, 0))
    fileio.write_text(tmp_path / "file", "x")
    assert names(tmp_path) == [alive.name, "file"]
    with fileio.atomic_directory(tmp_path / "new" / "folder") as directory:
        assert directory.name.startswith(f".tmp.{os.getpid()}@")


def test_full_disk_told_by_a_class_of_its_own(tmp_path):
    """safetensors and HDF5 meet the end of what may be written."""
    values = np.zeros(1 << 20, np.float32)

    def by_hdf5(path):
        with h5py.File(path, "w") as file:
            file["x"] = values

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for write in (
        lambda path: safetensors.numpy.save_file({"x": values}, path),
        by_hdf5,
    ):
        path = tmp_path / "state"
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            with (
                pytest.raises(OSError, match="File too large") as error,
                fileio.atomic_path(path) as temporary,
            ):
                write(temporary)
            with (
                pytest.raises(OSError, match="File too large") as inside,
                fileio.atomic_directory(path) as temporary,
            ):
                write(temporary / "file")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        message = f"[Errno {errno.EFBIG}] File too large: '{path}'"
        assert [str(e.value) for e in (error, inside)] == [message] * 2
        assert names(tmp_path) == []


def test_full_disk_in_a_folder_is_named_by_its_file(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(OSError, match="No space") as error,
        fileio.atomic_directory(tmp_path / "folder") as temporary,
        fileio.atomic_path(temporary / "inside.json"),
    ):
        raise full
    assert f"'{tmp_path / 'folder' / 'inside.json'}'" in str(error.value)


_RECORD = record_of({"name": TEXT}, count=POSITIVE, rate=NUMBER)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON in UTF-8"),
        (b'{"count": 1, "rate": ', "is not JSON in UTF-8"),
        (b'{"count": "\xff"}', "is not JSON in UTF-8"),
        (b'{"count": 1, "rate": 1, "x": "\\uD83D"}', "is not JSON in UTF-8"),
        (b'{"count": ' + b"1" * 5000 + b"}", "is not JSON in UTF-8"),
        (b"[" * 100_000, "is not JSON in UTF-8"),
        (b"[" * 100 + b"]" * 100, "is nested more than 64 deep"),
        (b"[]", r"\[\] is no object"),
        (b'{"rate": 1}', "'count' is a required property"),
        (b'{"count": 1, "rate": NaN}', "rate: nan is no number"),
        (b'{"count": 1, "rate": 1e999}', "rate: inf is no number"),
        (b'{"count": 1.0, "rate": 1}', "count: 1.0 is no integer"),
        (b'{"count": true, "rate": 1}', "count: True is no integer"),
        (b'{"count": 0, "rate": 1}', "count: 0 is less than"),
        (b'{"count": %d, "rate": 1}' % 10**30, "count: 10+ is greater"),
        (
            b'{"count": 1, "rate": 1, "name": ["\\u001b"]}',
            "name: .*x1b",
        ),
    ],
)
def test_record_of_another_shape(tmp_path, content, message):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(CacheError, match=message) as error:
        fileio.read_json(path, _RECORD, error=CacheError)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 300


def test_record_that_fits_is_read(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b'\xef\xbb\xbf{"count": 1, "rate": 2, "more": null}')
    expected = {"count": 1, "rate": 2, "more": None}
    assert fileio.read_json(path, _RECORD) == expected


def test_file_that_is_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "device", "folder"):
        with pytest.raises(DataError, match=f"{name}: is no plain file"):
            fileio.read_json(tmp_path / name)
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="large: has 1,099,511,627,776 bytes"):
        fileio.read_json(tmp_path / "large")
    with pytest.raises(FileNotFoundError):
        fileio.read_json(tmp_path / "missing")


def test_json_round_trip(tmp_path):
    value = {"text": "Zoë 🎈\u2028", "numbers": [1, 2.5, None]}
    fileio.write_json(tmp_path / "value.json", value)
    assert fileio.read_json(tmp_path / "value.json") == value
    assert "Zoë" in (tmp_path / "value.json").read_text(encoding="utf-8")


def test_value_that_is_no_json_leaves_the_old_file(tmp_path):
    fileio.write_json(tmp_path / "value.json", 1)
    with pytest.raises(TypeError):
        fileio.write_json(tmp_path / "value.json", {1, 2})
    assert fileio.read_json(tmp_path / "value.json") == 1


@pytest.mark.parametrize("num_bytes", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
def test_file_digest(tmp_path, num_bytes):
    content = bytes(range(256)) * (num_bytes // 256 + 1)
    (tmp_path / "file").write_bytes(content[:num_bytes])
    expected = hashlib.sha256(content[:num_bytes]).hexdigest()
    assert fileio.file_digest(tmp_path / "file") == expected


def test_value_digest_ignores_the_order_of_keys():
    first = {"a": 1, "b": {"c": 2, "d": [3, 4]}}
    second = {"b": {"d": [3, 4], "c": 2}, "a": 1}
    assert fileio.value_digest(first) == fileio.value_digest(second)


@pytest.mark.parametrize("other", [{"a": [2, 1]}, {"a": "[1, 2]"}, {}])
def test_value_digest_sees_every_difference(other):
    assert fileio.value_digest({"a": [1, 2]}) != fileio.value_digest(other)


def test_require_same_names_the_first_difference():
    found = {"seed": 1, "rate": 0.5, "task": "rte"}
    wanted = {"seed": 1, "rate": 0.25, "task": "cola"}
    with pytest.raises(RunError) as error:
        fileio.require_same("runs/a", found, wanted)
    assert str(error.value) == (
        "runs/a was made with rate = 0.5, not 0.25; use another output "
        "directory, or remove it"
    )


def test_require_same_shortens_digests():
    found, wanted = {"data": "0" * 64}, {"data": "1" * 64}
    with pytest.raises(RunError, match="data") as error:
        fileio.require_same("runs/a", found, wanted)
    assert "0" * 10 in str(error.value)
    assert len(str(error.value)) < 140


@pytest.mark.parametrize(
    ("found", "wanted"), [({"a": 1}, {"a": 1, "b": 2}), ({"a": 1}, {})]
)
def test_require_same_refuses_other_names(found, wanted):
    with pytest.raises(RunError, match="another version of bvkeras"):
        fileio.require_same("runs/a", found, wanted)


def test_require_same_accepts_what_json_gives_back():
    settings = {"epochs": [0.5, 1.0], "start": None, "name": "Zoë"}
    stored = json.loads(json.dumps(settings))
    fileio.require_same("runs/a", stored, settings)


def test_directory_lock_shuts_out_another_process(tmp_path):
    script = (
        "import sys\n"
        "from bvkeras import fileio\n"
        "with fileio.directory_lock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    directory = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        try:
            assert holder.stdout.readline().strip() == b"held"
            with (
                pytest.raises(RunError, match="in use by another"),
                fileio.directory_lock(directory),
            ):
                pass
        finally:
            holder.kill()
    # The lock of a killed process is free.
    with fileio.directory_lock(directory):
        pass


def test_directory_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(OSError, match="x"), fileio.directory_lock(tmp_path):
        raise OSError("x")
    with fileio.directory_lock(tmp_path):
        pass


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, None),
        ({"a": 1, "b": 2}, {"b": 3, "a": 0}, ("b", "2", "3")),
        ({"a": {"x": [1]}}, {"a": {"x": [2]}}, ("a.x", "[1]", "[2]")),
        ({"a": {"x": 1}}, {"a": {}}, ("a.x", "1", "null")),
        ({"a": {"x": 1}}, {"a": 1}, ("a", '{"x": 1}', "1")),
    ],
)
def test_first_difference(found, wanted, expected):
    assert fileio.first_difference(found, wanted) == expected
