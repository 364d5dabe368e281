"""Several processes that write one cache, and what becomes of the dead."""

import pathlib
import signal

import pytest

from bvkeras import fileio
from bvkeras.cache import writer
from bvkeras.cache.format import Manifest
from bvkeras.cache.shared_writing import WORKERS_FOLDER
from bvkeras.cache.verify import verify_cache
from tests.faults.shared_extraction import extract
from tests.fresh_process import FreshProcess

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tiny_bert, tmp_path_factory):
    """SHA-256 of the shards that one process wrote, by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_SHARD_BYTES", writer._SHARD_BYTES)
        directory = tmp_path_factory.mktemp("whole")
        extract(tiny_bert, directory)
    return _digests(directory)


@pytest.mark.parametrize(
    "parts",
    [
        ("dies_before_shard", "dies_before_record", "lives", "lives"),
        pytest.param(("lives",) * 4, marks=pytest.mark.full),
    ],
    ids=["two_killed", "all_live"],
)
def test_bytes_are_those_of_one_process(tiny_bert, whole, tmp_path, parts):
    directory, deaths = tmp_path / "cache", tmp_path / "deaths"
    processes = [
        FreshProcess(
            *("-m", "tests.faults.shared_extraction"),
            *(tiny_bert, directory, part, deaths),
            cwd=_ROOT,
        )
        for part in parts
    ]
    try:
        # The dead first: they end in the middle of it all, and are not
        # waited for (`communicate`) before that is seen.
        for process, part in zip(processes, parts, strict=True):
            if part != "lives":
                assert process.wait(300) == -signal.SIGKILL
        deaths.touch()
        for process, part in zip(processes, parts, strict=True):
            if part == "lives":
                _, text = process.communicate(timeout=300)
                assert process.returncode == 0, text[-2000:]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert _digests(directory) == whole
    verify_cache(directory)
    assert not (directory / WORKERS_FOLDER).exists()
    assert Manifest.read(directory).seconds > 0


def _digests(directory):
    shards = sorted(directory.glob("hidden_states-*.tfrecord"))
    assert len(shards) > 12
    named = {s.file: s.sha256 for s in Manifest.read(directory).shards}
    assert named == {path.name: fileio.file_digest(path) for path in shards}
    return named
