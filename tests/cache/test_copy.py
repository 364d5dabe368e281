import shutil

import pytest
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache import copy
from bvkeras.cache.copy import copy_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.errors import CacheError, RunError
from tests.cache.made_caches import make_cache
from tests.tiny_runs import fail_at_call, forbid

NAMES = [f"hidden_states-0000{number}.tfrecord" for number in range(3)]


class _Stop(BaseException):
    pass


@pytest.fixture(params=["local", "ram"])
def target(request, tmp_path):
    """A folder that is not there yet."""
    if request.param == "local":
        return str(tmp_path / "far" / "target")
    return f"ram:/{tmp_path}/far/target"


def names(folder):
    return sorted(
        name
        for name in tf.io.gfile.listdir(folder)
        if name not in (".lock", ".lock/")
    )


def test_copy_is_the_cache(tmp_path, target):
    make_cache(tmp_path / "source", dtype="int8")
    copied = copy_cache(tmp_path / "source", target)
    assert names(target) == [*NAMES, "manifest.json"]
    for name in names(target):
        with tf.io.gfile.GFile(f"{target}/{name}", "rb") as file:
            assert file.read() == (tmp_path / "source" / name).read_bytes()
    assert find_problems(target) == []
    assert len(copied) == 11


def test_back_from_afar(tmp_path):
    make_cache(tmp_path / "source")
    far = f"ram:/{tmp_path}/bucket"
    copy_cache(tmp_path / "source", far)
    back = copy_cache(far, tmp_path / "back")
    assert back.manifest == HiddenStateCache(tmp_path / "source").manifest
    assert find_problems(tmp_path / "back") == []


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_manifest_comes_last_and_a_stopped_copy_goes_on(
    tmp_path, target, monkeypatch, stop
):
    make_cache(tmp_path / "source")
    with monkeypatch.context() as patch:
        fail_at_call(patch, copy, "writing", stop, _Stop)
        with pytest.raises(_Stop):
            copy_cache(tmp_path / "source", target)
    assert names(target) == NAMES[: stop - 1]
    with monkeypatch.context() as patch:
        calls = fail_at_call(patch, copy, "_copy_shard", 99, _Stop)
        copy_cache(tmp_path / "source", target)
    assert len(calls) == 4 - stop
    assert find_problems(target) == []


def test_killed_inside_a_shard(tmp_path, target, monkeypatch):
    make_cache(tmp_path / "source")
    original = copy.file_chunks

    def chunks(path):
        chunk = next(original(path))
        yield chunk[:100]
        raise _Stop

    with monkeypatch.context() as patch:
        patch.setattr(copy, "file_chunks", chunks)
        with pytest.raises(_Stop):
            copy_cache(tmp_path / "source", target)
    assert not set(names(target)) & set(NAMES)
    copy_cache(tmp_path / "source", target)
    assert names(target) == [*NAMES, "manifest.json"]
    assert find_problems(target) == []


def test_other_bytes_of_the_right_size_are_written_over(tmp_path, target):
    make_cache(tmp_path / "source")
    tf.io.gfile.makedirs(target)
    size = (tmp_path / "source" / NAMES[1]).stat().st_size
    with tf.io.gfile.GFile(f"{target}/{NAMES[1]}", "wb") as file:
        file.write(bytes(size))
    copy_cache(tmp_path / "source", target)
    assert find_problems(target) == []


def test_finished_copy_is_opened(tmp_path, target, monkeypatch):
    make_cache(tmp_path / "source")
    copy_cache(tmp_path / "source", target)
    forbid(monkeypatch, copy, "_copy_shard")
    assert len(copy_cache(tmp_path / "source", target)) == 11


def test_another_cache_is_not_written_over(tmp_path, target):
    make_cache(tmp_path / "source")
    make_cache(tmp_path / "other", dtype="int8")
    copy_cache(tmp_path / "other", target)
    with pytest.raises(RunError, match="holds another cache"):
        copy_cache(tmp_path / "source", target)
    assert find_problems(target) == []


def test_damaged_shard_is_not_copied(tmp_path, target):
    path = make_cache(tmp_path / "source") / NAMES[1]
    data = bytearray(path.read_bytes())
    data[70] ^= 1
    path.write_bytes(data)
    with pytest.raises(CacheError) as error:
        copy_cache(tmp_path / "source", target)
    assert str(error.value) == f"{path}: its bytes are not those written"
    assert NAMES[1] not in names(target)
    assert "manifest.json" not in names(target)


def test_folder_that_another_process_writes(tmp_path):
    make_cache(tmp_path / "source")
    with (
        fileio.directory_lock(tmp_path / "target"),
        pytest.raises(RunError, match="in use by another"),
    ):
        copy_cache(tmp_path / "source", tmp_path / "target")


def test_onto_itself(tmp_path):
    make_cache(tmp_path / "source")
    before = shutil.copytree(tmp_path / "source", tmp_path / "before")
    copy_cache(tmp_path / "source", tmp_path / "source")
    for path in before.iterdir():
        assert (tmp_path / "source" / path.name).read_bytes() == (
            path.read_bytes()
        )


def test_scheme_that_nobody_knows(tmp_path):
    make_cache(tmp_path / "source")
    with pytest.raises(OSError, match="nowhere") as error:
        copy_cache(tmp_path / "source", "nowhere://bucket/cache")
    assert "\n" not in str(error.value)
