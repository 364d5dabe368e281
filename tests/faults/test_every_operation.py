"""Extraction fails or is killed at each of its writes, syncs and renames."""

import errno
import os
import pathlib
import signal

import pytest

from bvkeras import fileio
from bvkeras.cache.format import Manifest
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import verify_cache
from bvkeras.errors import CacheError, DataError, RunError
from tests.faults import made_up_extraction
from tests.faults.made_up_extraction import at_operation, extract
from tests.fresh_process import FreshProcess

_ROOT = pathlib.Path(__file__).parents[2]
# Records in each of the three shards.
_RECORDS = (3, 3, 1)
_OPERATIONS = []
for _number, _records in enumerate(_RECORDS):
    for _name, _writes in (
        (f"hidden_states-{_number:05d}.tfrecord", _records),
        ("manifest.json", 1),
    ):
        _OPERATIONS += [("write", _name)] * _writes
        _OPERATIONS += [("sync", _name), ("rename", _name), ("sync", "cache")]


def contents(directory):
    return {p.name: p.read_bytes() for p in directory.glob("hidden*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The shards of an extraction that nothing happened to."""
    directory = tmp_path_factory.mktemp("whole") / "cache"
    extract(directory)
    verify_cache(directory)
    return contents(directory)


def assert_nothing_half(directory, whole):
    """Whatever is there under a final name is whole and as it should be."""
    found = contents(directory)
    assert found == {name: whole[name] for name in found}
    if not (directory / "manifest.json").exists():
        with pytest.raises(CacheError, match="not a hidden-state cache"):
            HiddenStateCache(directory)
        return []
    manifest = Manifest.read(directory)
    for shard in manifest.shards:
        assert fileio.file_digest(directory / shard.file) == shard.sha256
    if not manifest.complete:
        with pytest.raises(CacheError, match="unfinished"):
            HiddenStateCache(directory)
    return [directory / shard.file for shard in manifest.shards]


def assert_goes_on(directory, finished, whole):
    """Finished shards are left alone, and the rest comes out the same."""
    times = [path.stat().st_mtime_ns for path in finished]
    with at_operation(-1, None) as operations:
        extract(directory)
    left = len(_RECORDS) - len(finished)
    assert sum(kind == "rename" for kind, _ in operations) == 2 * left
    assert [path.stat().st_mtime_ns for path in finished] == times
    verify_cache(directory)
    assert contents(directory) == whole
    hidden = {path.name for path in directory.glob(".*")}
    assert hidden <= {".lock"}


def test_every_operation_is_told(tmp_path):
    with at_operation(-1, None) as operations:
        extract(tmp_path / "cache")
    assert operations == _OPERATIONS
    assert len(operations) == 28


@pytest.mark.parametrize("number", range(len(_OPERATIONS)))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_operation_that_fails(tmp_path, whole, number, code):
    directory = tmp_path / "cache"

    def fail():
        raise OSError(code, os.strerror(code))

    with (
        at_operation(number, fail) as operations,
        pytest.raises(OSError, match=os.strerror(code)) as error,
    ):
        extract(directory)
    kind, name = operations[-1]
    named = [entry for entry in operations if entry[1] != "cache"][-1][1]
    assert len(operations) == number + 1, (kind, name)
    assert str(directory / named) in str(error.value)
    assert "\n" not in str(error.value)
    assert ".tmp" not in str(error.value)
    assert not list(directory.glob(".tmp*"))
    assert_goes_on(directory, assert_nothing_half(directory, whole), whole)


@pytest.fixture(scope="module")
def exited(tmp_path_factory):
    """A folder for each operation, left by a process that exited there."""
    folder = tmp_path_factory.mktemp("exited")
    process = _start("exit", str(folder), str(len(_OPERATIONS) + 1))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-2000:]
    # The folder is called "cache" in `_OPERATIONS`; here it has a number.
    statuses = [int(line) for line in output.split()]
    return folder, statuses


def test_every_child_exited_where_it_should(exited):
    expected = [made_up_extraction.EXIT_STATUS] * len(_OPERATIONS)
    assert exited[1] == [*expected, 0]


@pytest.mark.parametrize("number", range(len(_OPERATIONS) + 1))
def test_process_that_exits(exited, whole, number):
    directory = exited[0] / str(number)
    assert_goes_on(directory, assert_nothing_half(directory, whole), whole)


def test_second_writer_is_sent_away_until_the_first_is_killed(tmp_path, whole):
    directory = tmp_path / "cache"
    process = _start("hold", str(directory))
    try:
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(RunError) as refused:
            extract(directory)
        assert str(refused.value) == (
            f"{directory} is in use by another bvkeras process; wait for it "
            "or choose another output directory"
        )
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert list(directory.glob(".tmp*"))
    assert_goes_on(directory, [], whole)


def test_value_that_is_not_finite_keeps_finished_shards(tmp_path, whole):
    directory = tmp_path / "cache"
    with pytest.raises(DataError, match=r"sst2 train, example 'zoë-4': .* NaN"):
        extract(directory, broken_row=4)
    finished = assert_nothing_half(directory, whole)
    assert len(finished) == 1
    assert_goes_on(directory, finished, whole)


def _start(*arguments):
    return FreshProcess(
        "-m", made_up_extraction.__name__, *arguments, cwd=_ROOT
    )
