"""Processes killed while they write; the same call then goes on."""

import os
import pathlib
import signal

import numpy as np
import pytest
import safetensors.numpy

from bvkeras import fileio
from bvkeras.cache import writer
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import verify_cache
from bvkeras.cache.writer import write_cache
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import CacheError
from bvkeras.training.finetune import finetune
from tests import fresh_process
from tests.tiny_runs import CLASSES, FINETUNE, fail_at_call, make_examples

_ROOT = pathlib.Path(__file__).parents[2]


def extract(encoder_directory, directory):
    """Writes 23 examples in six shards."""
    writer._SHARD_BYTES = 8000
    encoder = load_backbone(encoder_directory, dropout=0.0)
    return write_cache(
        encoder,
        CLASSES,
        make_examples(23),
        directory,
        max_tokens=16,
        dtype="float32",
    )


def train(encoder_directory, directory):
    """Fine-tunes for ten steps and saves the state after each."""
    return finetune(
        load_backbone(encoder_directory),
        CLASSES,
        make_examples(),
        directory,
        **FINETUNE,
        save_every_seconds=0,
    )


def kill_at_rename(name, number):
    """Kills this process when the `number`th file `name` is to be renamed."""
    replace, count = os.replace, 0

    def counted(source, target):
        nonlocal count
        count += str(target).endswith(name)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = counted


@pytest.fixture(autouse=True)
def same_shard_size(monkeypatch):
    monkeypatch.setattr(writer, "_SHARD_BYTES", writer._SHARD_BYTES)


def run_until_killed(function, encoder_directory, directory, name, number):
    script = (
        "import sys\n"
        f"from {__name__} import {function.__name__}, kill_at_rename\n"
        f"kill_at_rename({name!r}, {number})\n"
        f"{function.__name__}(*sys.argv[1:])\n"
    )
    process = fresh_process.run(
        *("-c", script, encoder_directory, directory), cwd=_ROOT
    )
    assert process.returncode == -signal.SIGKILL, process.stderr[-500:]


def shards(directory):
    paths = sorted(directory.glob("hidden*"))
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole_cache(tiny_bert, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_SHARD_BYTES", 8000)
        return extract(tiny_bert, tmp_path_factory.mktemp("whole")).directory


def test_killed_extraction(tiny_bert, whole_cache, tmp_path):
    run_until_killed(extract, tiny_bert, tmp_path, "manifest.json", 3)
    # Three shards are there, and a manifest that knows of two.
    assert len(fileio.read_json(tmp_path / "manifest.json")["shards"]) == 2
    with pytest.raises(CacheError, match="unfinished"):
        HiddenStateCache(tmp_path)
    finished = sorted(tmp_path.glob("hidden*.tfrecord"))[:2]
    times = [path.stat().st_mtime_ns for path in finished]
    extract(tiny_bert, tmp_path)
    assert [path.stat().st_mtime_ns for path in finished] == times
    verify_cache(tmp_path)
    assert shards(tmp_path) == shards(whole_cache)
    assert not list(tmp_path.glob(".tmp*"))


def test_full_disk_is_named_and_finished_shards_stay(
    tiny_bert, whole_cache, tmp_path
):
    sizes = [len(content) for content in shards(whole_cache).values()]
    largest = sizes.index(max(sizes))
    assert largest > 0
    script = (
        "import resource, sys\n"
        f"from {__name__} import extract\n"
        f"limit = {max(sizes) - 1}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "extract(*sys.argv[1:])\n"
    )
    process = fresh_process.run("-c", script, tiny_bert, tmp_path, cwd=_ROOT)
    assert process.returncode == 1
    path = tmp_path / f"hidden_states-{largest:05d}.tfrecord"
    assert process.stderr.splitlines()[-1] == (
        f"OSError: {path} cannot be written: File too large"
    )
    expected = dict(list(shards(whole_cache).items())[:largest])
    assert shards(tmp_path) == expected
    extract(tiny_bert, tmp_path)
    assert shards(tmp_path) == shards(whole_cache)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_extraction_stopped_at_any_shard(
    tiny_bert, whole_cache, tmp_path, number
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, writer, "write_shard", number, OSError("full"))
        with pytest.raises(OSError, match="full"):
            extract(tiny_bert, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        calls = fail_at_call(patch, writer, "write_shard", 99, None)
        extract(tiny_bert, tmp_path)
    assert len(calls) == 6 - (number - 1)
    assert shards(tmp_path) == shards(whole_cache)


def test_extraction_goes_on_within_the_examples_left(
    tiny_bert, tmp_path, monkeypatch
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, writer, "write_shard", 3, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            extract(tiny_bert, tmp_path)
    manifest = fileio.read_json(tmp_path / "manifest.json")
    done = sum(shard["records"] for shard in manifest["shards"])
    read, batch = [], TokenizedExamples.batch
    monkeypatch.setattr(
        TokenizedExamples,
        "batch",
        lambda self, rows: (
            read.extend(self.ids[row] for row in rows) or batch(self, rows)
        ),
    )
    extract(tiny_bert, tmp_path)
    assert sorted(read) == sorted(make_examples(23).ids[done:])


# In the short set a whole run is killed while it fine-tunes.
@pytest.mark.full
def test_killed_training_comes_to_the_same_weights(tiny_bert, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run_until_killed(train, tiny_bert, killed, "state.safetensors", 7)
    assert list(killed.glob(".tmp*"))
    for snapshot, expected in zip(
        train(tiny_bert, killed), train(tiny_bert, whole), strict=True
    ):
        heads = [
            safetensors.numpy.load_file(s.directory / "head.safetensors")
            for s in (snapshot, expected)
        ]
        for name in heads[0]:
            np.testing.assert_array_equal(heads[0][name], heads[1][name])
        digests = [
            load_backbone(s.encoder_directory).digest()
            for s in (snapshot, expected)
        ]
        assert digests[0] == digests[1]
    assert not list(killed.glob(".tmp*"))
