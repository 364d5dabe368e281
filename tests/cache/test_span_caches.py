"""A cache of windows: labels, masks, offsets, and damage to them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache import writer
from bvkeras.cache.convert import convert_cache
from bvkeras.cache.copy import copy_cache
from bvkeras.cache.format import Manifest, encode_record
from bvkeras.cache.info import describe_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.cache.writer import plan_cache, write_cache
from bvkeras.data.sources import load_examples
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.errors import CacheError, RunError
from tests.cache.made_caches import made_arrays, write_shard
from tests.data.squad_fixtures import SQUAD, write_squad
from tests.tiny_runs import fail_at_call

MAX_TOKENS = 24


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    directory = write_squad(tmp_path_factory.mktemp("squad"))
    return load_examples("squad_v2", "train", directory)


@pytest.fixture(scope="session")
def windows(examples, encoder):
    return tokenize_examples(examples, encoder, MAX_TOKENS)


def write(encoder, examples, directory, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_SHARD_BYTES", 40_000)
        return write_cache(
            encoder,
            SQUAD,
            examples,
            directory,
            **{"max_tokens": MAX_TOKENS, **options},
        )


@pytest.fixture(scope="session")
def cache(encoder, examples, tmp_path_factory):
    """A finished cache in several shards; do not change it."""
    return write(encoder, examples, tmp_path_factory.mktemp("spans") / "train")


def batches_of(cache):
    return list(cache.batches(7).as_numpy_iterator())


def test_every_window_is_a_record(cache, windows, examples):
    assert len(cache) == len(windows) > len(examples)
    assert len(cache.manifest.shards) > 1
    assert cache.ids() == windows.ids
    np.testing.assert_array_equal(cache.labels(), windows.labels)
    np.testing.assert_array_equal(cache.lengths(), windows.lengths)
    np.testing.assert_array_equal(cache.index.contexts, windows.contexts)
    assert find_problems(cache.directory) == []


def test_window_plan_and_lengths_are_in_the_identity(cache, examples):
    identity = cache.manifest.identity
    assert identity["max_tokens"] == MAX_TOKENS
    assert identity["windows"] == {"stride": 128, "question_tokens": 64}
    assert identity["data"] == examples.digest
    # Without them a span is of no use.
    assert identity["extras"] == ["offsets"]
    cache.require(windows=identity["windows"])
    with pytest.raises(CacheError, match=r"windows\.stride = 128, expected 64"):
        cache.require(windows={"stride": 64, "question_tokens": 64})


def test_mask_is_where_an_answer_can_be(cache, windows):
    row = 0
    for batch in batches_of(cache):
        for mask, offsets in zip(batch["mask"], batch["offsets"], strict=True):
            ids, segments = windows.rows[row]
            length, first = len(ids), int(windows.contexts[row])
            expected = np.zeros(len(mask), bool)
            expected[0] = True
            expected[first : length - 1] = True
            np.testing.assert_array_equal(mask, expected)
            assert segments[first] == 1
            assert segments[first - 1] == 0
            assert (offsets[expected][1:] >= 0).all()
            row += 1
    assert row == len(windows)


def test_datasets_from_disk_and_memory_are_the_same(cache):
    loaded = cache.load()
    for options in ({}, {"shuffle": True, "seed": 3, "bucket": True}):
        for first, second in zip(
            cache.as_dataset(8, **options),
            loaded.as_dataset(8, **options),
            strict=True,
        ):
            (_, mask), spans = first
            assert spans.shape[1:] == (2,)
            assert mask.dtype == tf.uint8
            tf.nest.map_structure(
                lambda a, b: tf.debugging.assert_equal(a, b), first, second
            )
    assert batches_of(cache)[0].keys() == {
        *("hidden_states", "mask", "label", "id", "index", "length"),
        *("context", "offsets"),
    }


def test_hidden_states_are_those_of_the_window(cache, windows, encoder):
    forward = FastEncoder(encoder.backbone)
    (batch,) = (b for b in batches_of(cache)[:1])
    states = np.stack(forward(windows.batch(range(7))), axis=2)
    stored = tf.cast(batch["hidden_states"], tf.float32).numpy()
    for row, length in enumerate(windows.lengths[:7]):
        np.testing.assert_allclose(
            stored[row, :length], states[row, :length], rtol=2**-7, atol=1e-5
        )


def test_plan_counts_the_windows(cache, encoder, examples):
    plan = plan_cache(encoder, examples, max_tokens=MAX_TOKENS)
    assert plan.examples == len(cache)
    assert plan.tokens == cache.num_tokens
    wanted = cache.num_bytes
    # A record's own bytes are many beside hidden states as small as these.
    assert abs(plan.num_bytes["bfloat16"] - wanted) < 0.05 * wanted


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_converted_cache_has_the_same_spans(cache, dtype, tmp_path):
    converted = convert_cache(
        cache.directory, tmp_path / "new", dtype=dtype, layers=[0, 2]
    )
    assert find_problems(tmp_path / "new") == []
    assert converted.manifest.spans
    np.testing.assert_array_equal(converted.labels(), cache.labels())
    np.testing.assert_array_equal(
        converted.index.contexts, cache.index.contexts
    )
    for before, after in zip(
        batches_of(cache), batches_of(converted), strict=True
    ):
        for name in ("mask", "offsets", "id", "label", "context"):
            np.testing.assert_array_equal(before[name], after[name])


def test_copied_cache_is_whole(cache, tmp_path):
    copied = copy_cache(cache.directory, tmp_path / "copy")
    assert find_problems(tmp_path / "copy") == []
    assert copied.manifest == cache.manifest


def test_interrupted_extraction_goes_on(cache, encoder, examples, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, writer, "write_shard", 2, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            write(encoder, examples, tmp_path / "cache")
    assert not Manifest.read(tmp_path / "cache").complete
    again = write(encoder, examples, tmp_path / "cache")
    assert [shard.sha256 for shard in again.manifest.shards] == [
        shard.sha256 for shard in cache.manifest.shards
    ]


def test_finished_cache_is_not_tokenised_again(
    cache, encoder, examples, monkeypatch
):
    fail_at_call(monkeypatch, writer, "tokenize_examples", 1, AssertionError())
    assert len(write(encoder, examples, cache.directory)) == len(cache)


@pytest.mark.parametrize("change", ["stride", "question_tokens"])
def test_other_windows_are_refused(cache, encoder, examples, change):
    plan = dataclasses.replace(examples.windows, **{change: 3})
    other = dataclasses.replace(examples, windows=plan)
    with pytest.raises(RunError, match=rf"made with windows\.{change} = "):
        write(encoder, other, cache.directory)


def test_description_names_the_windows(cache):
    rows = describe_cache(cache.directory)
    assert rows["labels"] == (
        "spans of windows (stride 128, question_tokens 64)"
    )


def damaged(directory, label, context, length=5):
    """A cache of one record, with these numbers in it."""
    states = made_arrays((length,), 3, 5)[0]
    offsets = np.zeros((length, 2), np.int64)
    record = encode_record(
        0, "q#0", label, states, offsets=offsets, context=context
    )
    directory.mkdir()
    shard = write_shard(directory, 0, [record], length)
    identity = {
        "task": "squad_v2",
        "split": "train",
        "data": "d",
        "config": {},
        "encoder": "e",
        "tokenizer": "t",
        "compute_dtype": "float32",
        "max_tokens": 16,
        "layers": [0, 1, 2],
        "dtype": "float32",
        "extras": ["offsets"],
        "converted_from": [],
        "windows": {"stride": 4, "question_tokens": 2},
    }
    Manifest(identity, 1, 3, 5, False, (shard,), True, 1.0).write(directory)
    return directory


@pytest.mark.parametrize(
    ("label", "context"), [((0, 0), 2), ((2, 3), 2), ((3, 3), 3), ((0, 0), 4)]
)
def test_spans_that_can_be(label, context, tmp_path):
    directory = damaged(tmp_path / "cache", label, context)
    assert find_problems(directory) == []
    assert HiddenStateCache(directory).labels().tolist() == [list(label)]


@pytest.mark.parametrize(
    ("label", "context", "message"),
    [
        ((1, 3), 2, "its label is 1 to 3, expected tokens from 2 to 3, or 0"),
        ((3, 2), 2, "its label is 3 to 2, expected tokens"),
        ((2, 4), 2, "its label is 2 to 4, expected tokens"),
        ((-1, -1), 2, "its label is -1 to -1, expected tokens"),
        ((0, 3), 2, "its label is 0 to 3, expected tokens"),
        ((2, 3), 1, "its context begins at token 1, expected 2 to 4"),
        ((0, 0), 5, "its context begins at token 5, expected 2 to 4"),
        ((2,), 2, "its label is not a first and a last token"),
        ((2, 3, 3), 2, "its label is not a first and a last token"),
        (2.0, 2, "its label is not a first and a last token"),
        ((2, 3), None, "its features are "),
    ],
)
def test_spans_that_cannot_be_are_named(label, context, message, tmp_path):
    directory = damaged(tmp_path / "cache", label, context)
    (problem, *_) = find_problems(directory)
    assert message in str(problem)
    assert "hidden_states-00000.tfrecord, record 0" in str(problem)
    with pytest.raises(CacheError, match="record 0"):
        HiddenStateCache(directory).labels()


@pytest.mark.parametrize(
    "change",
    [
        {"windows": {"stride": 0, "question_tokens": 2}},
        {"windows": {"stride": 4}},
        {"windows": {"stride": 4, "question_tokens": True}},
        {"windows": 5},
        {"windows": None},
        {"extras": []},
    ],
)
def test_manifest_with_unusable_windows_is_refused(change, cache, tmp_path):
    copy = shutil.copytree(cache.directory, tmp_path / "copy")
    path = copy / "manifest.json"
    record = json.loads(path.read_bytes())
    record.pop("digest")
    record["identity"] |= change
    record["digest"] = fileio.value_digest(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CacheError, match="is not a manifest bvkeras wrote"):
        HiddenStateCache(copy)
