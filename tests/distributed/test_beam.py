"""Beam comes to the bytes of one process; an environment of its own.

make test-beam
"""

import pathlib
import subprocess
import sys

import pytest

from bvkeras.cache import writer
from bvkeras.cache.format import Manifest
from bvkeras.cache.verify import verify_cache
from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import RunError
from tests.tiny_runs import CLASSES, make_examples

pytestmark = pytest.mark.beam
_ROOT = pathlib.Path(__file__).parents[2]
_SHARD_BYTES = 5000
_ARGUMENTS = {"max_tokens": 16, "extras": ("token_ids", "offsets")}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(writer, "_SHARD_BYTES", _SHARD_BYTES)


@pytest.fixture
def one_process(tiny_bert, tmp_path):
    encoder = load_backbone(tiny_bert, dropout=0.0)
    return write_cache(
        encoder, CLASSES, make_examples(23), tmp_path / "one", **_ARGUMENTS
    )


def _transform(tiny_bert, directory, **changes):
    from bvkeras.distributed.beam import WriteHiddenStates

    arguments = {**_ARGUMENTS, **changes}
    return WriteHiddenStates(
        str(tiny_bert), CLASSES, make_examples(23), directory, **arguments
    )


def _run(transform, mode):
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(
        ["--direct_running_mode", mode, "--direct_num_workers", "2"]
    )
    with apache_beam.Pipeline("DirectRunner", options=options) as pipeline:
        _ = pipeline | transform


@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_bytes_are_those_of_one_process(tiny_bert, one_process, tmp_path, mode):
    directory = tmp_path / "beam"
    _run(_transform(tiny_bert, directory), mode)
    found = Manifest.read(directory)
    assert len(found.shards) > 3
    assert found.shards == one_process.manifest.shards
    assert found.identity == one_process.manifest.identity
    verify_cache(directory)
    assert not (directory / ".beam").exists()
    # Finished, it has nothing to do.
    times = [path.stat().st_mtime_ns for path in sorted(directory.iterdir())]
    _run(_transform(tiny_bert, directory), mode)
    assert times == [
        path.stat().st_mtime_ns for path in sorted(directory.iterdir())
    ]


def test_stopped_it_goes_on(tiny_bert, one_process, tmp_path, monkeypatch):
    from bvkeras.distributed import beam as module

    directory = tmp_path / "beam"
    made = []

    def fail_at_third(*arguments):
        made.append(arguments)
        if len(made) == 3:
            raise OSError("no room")
        return write(*arguments)

    write = module.write_shard
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_shard", fail_at_third)
        with pytest.raises(Exception, match="no room"):
            _run(_transform(tiny_bert, directory), "in_memory")
    with pytest.raises(RunError, match="max_batch_tokens = 1024, not 99"):
        _transform(tiny_bert, directory, max_batch_tokens=99)
    assert not (directory / "manifest.json").exists()
    before = len(list((directory / ".beam").glob("?????.json")))
    assert 0 < before < len(one_process.manifest.shards)
    made.clear()
    monkeypatch.setattr(
        module, "write_shard", lambda *a: made.append(a) or write(*a)
    )
    _run(_transform(tiny_bert, directory), "in_memory")
    assert Manifest.read(directory).shards == one_process.manifest.shards
    assert len(made) == len(one_process.manifest.shards) - before


def test_command(tiny_bert, glue_dir, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bvkeras.distributed.extract_on_beam"),
            *("rte", "--encoder", str(tiny_bert), "--data-dir", str(glue_dir)),
            *("--output-dir", str(tmp_path / "cache"), "--max-tokens", "32"),
            *("--", "--runner", "DirectRunner"),
            *("--direct_running_mode", "in_memory"),
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("written: ")
    assert Manifest.read(tmp_path / "cache").examples == 24
