import collections
import dataclasses
import shutil

import numpy as np
import pytest

import bvkeras
from bvkeras import fileio
from bvkeras.cache import shards, shared_writing, writer
from bvkeras.cache.format import DTYPES
from bvkeras.cache.prune import prune_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import verify_cache
from bvkeras.cache.writer import plan_cache, write_cache
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, CacheError, DataError, RunError
from bvkeras.layers.hidden_states import HiddenStates
from tests.tiny_runs import (
    CLASSES,
    SCORES,
    fail_at_call,
    forbid,
    make_examples,
)

# How far a stored value may be from the computed one: half of its last place,
# or half of int8's step, 1/254 of the largest feature of the token's layer.
RELATIVE = {"float32": 0.0, "float16": 2**-11, "bfloat16": 2**-8, "int8": 0.0}
OF_LARGEST = {"int8": 1 / 254}
# Online a sentence is computed alone, in the cache in a batch of others.
BATCHING = 1e-5


def all_records(cache):
    return list(cache.records().as_numpy_iterator())


@pytest.mark.parametrize("dtype", DTYPES)
def test_cached_hidden_states_are_those_computed_online(
    encoder, tmp_path, dtype
):
    examples = make_examples(11)
    cache = write_cache(
        encoder, CLASSES, examples, tmp_path, max_tokens=12, dtype=dtype
    )
    assert cache.dtype == dtype
    layer = HiddenStates(encoder.backbone)
    records = cache.records(dtype="float32").as_numpy_iterator()
    for row, record in enumerate(records):
        inputs = encoder.preprocess([examples.texts_a[row]], max_tokens=12)
        expected = layer(inputs).numpy()[0]
        values = record["hidden_states"]
        assert values.shape == expected.shape
        largest = np.abs(expected).max(axis=-1, keepdims=True)
        bound = RELATIVE[dtype] * np.abs(expected) + BATCHING
        bound = bound + OF_LARGEST.get(dtype, 0) * largest
        assert (np.abs(values - expected) <= bound).all()


def test_records_keep_the_order_of_the_examples(encoder, tmp_path):
    examples = make_examples(11)
    records = all_records(write_cache(encoder, CLASSES, examples, tmp_path))
    assert [record["index"] for record in records] == list(range(11))
    ids = [record["id"].decode() for record in records]
    assert ids == list(examples.ids)
    assert [record["label"] for record in records] == examples.labels.tolist()


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_token_ids_and_offsets(encoder, tmp_path, dtype):
    examples = dataclasses.replace(
        make_examples(4), texts_b=("a", "Zb, c", "", "7 7")
    )
    cache = write_cache(
        encoder,
        CLASSES,
        examples,
        tmp_path,
        max_tokens=9,
        dtype=dtype,
        extras=("offsets", "token_ids"),
    )
    assert cache.manifest.extras == ("token_ids", "offsets")
    texts = (examples.texts_a, examples.texts_b)
    rows = encoder.tokenizer.pack(*texts, 9)
    offsets = encoder.tokenizer.pack_offsets(*texts, 9)
    records = zip(all_records(cache), rows, offsets, strict=True)
    for record, (ids, _), places in records:
        np.testing.assert_array_equal(record["token_ids"], ids)
        np.testing.assert_array_equal(record["offsets"], places)


@pytest.mark.parametrize("extras", [(), ("token_ids", "offsets")])
@pytest.mark.parametrize("layers", [None, [1]])
def test_plan_says_what_will_be_written(encoder, tmp_path, extras, layers):
    examples = make_examples(60)
    plan = plan_cache(encoder, examples, layers=layers, extras=extras)
    assert plan.examples == 60
    for dtype in DTYPES:
        cache = write_cache(
            encoder,
            CLASSES,
            examples,
            tmp_path / dtype,
            layers=layers,
            dtype=dtype,
            extras=extras,
        )
        assert plan.tokens == sum(s.tokens for s in cache.manifest.shards)
        planned = plan.num_bytes[dtype]
        assert abs(planned - cache.num_bytes) <= 0.02 * planned + 1000


def test_plan_runs_no_encoder(encoder, monkeypatch):
    forbid(monkeypatch, writer, "cache_forward")
    monkeypatch.setattr(encoder.backbone, "call", None)
    assert plan_cache(encoder, make_examples(3)).examples == 3


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("compute_dtype", ["bfloat16", "float16"])
def test_compute_dtype_changes_values_a_little(
    encoder, tmp_path, dtype, compute_dtype, monkeypatch
):
    # Not every processor has native products of 16 bits.
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    examples = make_examples(11)
    arguments = {"max_tokens": 16, "dtype": dtype}
    exact, rounded = (
        write_cache(
            encoder,
            CLASSES,
            examples,
            tmp_path / name,
            compute_dtype=name,
            **arguments,
        )
        for name in ("float32", compute_dtype)
    )
    identity = rounded.manifest.identity
    assert identity["compute_dtype"] == compute_dtype
    assert identity["encoder"] == encoder.digest()
    pairs = zip(
        *(
            cache.records(dtype="float32").as_numpy_iterator()
            for cache in (exact, rounded)
        ),
        strict=True,
    )
    differences = [
        np.abs(a["hidden_states"] - b["hidden_states"]).max() for a, b in pairs
    ]
    assert 0 < max(differences) < 0.1
    with pytest.raises(RunError, match="made with compute_dtype = "):
        write_cache(
            encoder,
            CLASSES,
            examples,
            rounded.directory,
            compute_dtype="float32",
            **arguments,
        )


def test_only_valid_tokens_are_written(encoder, tmp_path):
    examples = make_examples(15)
    cache = write_cache(
        encoder, CLASSES, examples, tmp_path, max_tokens=16, dtype="float16"
    )
    lengths = [4 + 3 * (i % 5) for i in range(15)]
    assert [r["length"] for r in all_records(cache)] == lengths
    value_bytes = sum(lengths) * cache.num_layers * cache.hidden_dim * 2
    assert value_bytes < cache.num_bytes < value_bytes + 15 * 150
    assert sum(shard.tokens for shard in cache.manifest.shards) == sum(lengths)


@pytest.mark.parametrize("max_batch_tokens", [1, 40])
def test_batching_does_not_show(
    encoder, written_cache, tmp_path, max_batch_tokens
):
    cache = write_cache(
        encoder,
        CLASSES,
        make_examples(23),
        tmp_path,
        max_tokens=16,
        dtype="float32",
        max_batch_tokens=max_batch_tokens,
    )
    expected = all_records(HiddenStateCache(written_cache))
    for record, other in zip(all_records(cache), expected, strict=True):
        np.testing.assert_allclose(
            record.pop("hidden_states"), other.pop("hidden_states"), atol=1e-5
        )
        assert record == other


def test_scores_are_float32(encoder, tmp_path):
    examples = make_examples(7, task=SCORES)
    cache = write_cache(encoder, SCORES, examples, tmp_path)
    assert cache.labels().dtype == np.float32
    np.testing.assert_array_equal(cache.labels(), examples.labels)


def test_classes_are_int64(encoder, tmp_path):
    examples = make_examples(7)
    cache = write_cache(encoder, CLASSES, examples, tmp_path)
    assert cache.labels().dtype == np.int64
    np.testing.assert_array_equal(cache.labels(), examples.labels)


def test_layers_are_kept_in_the_order_asked_for(
    encoder, written_cache, tmp_path
):
    cache = write_cache(
        encoder,
        CLASSES,
        make_examples(23),
        tmp_path,
        max_tokens=16,
        layers=[-1, 0],
        dtype="float32",
    )
    assert cache.num_layers == 2
    assert cache.manifest.identity["layers"] == [2, 0]
    every = all_records(HiddenStateCache(written_cache))
    for record, all_layers in zip(all_records(cache), every, strict=True):
        np.testing.assert_allclose(
            record["hidden_states"],
            all_layers["hidden_states"][:, [2, 0]],
            atol=1e-5,
        )


def test_manifest(encoder, written_cache):
    manifest = fileio.read_json(written_cache / "manifest.json")
    examples = make_examples(23)
    assert manifest["identity"] == {
        "task": "sst2",
        "split": "train",
        "data": examples.digest,
        "config": encoder.config(),
        "encoder": encoder.digest(),
        "tokenizer": encoder.tokenizer.digest,
        "compute_dtype": "float32",
        "max_tokens": 16,
        "layers": [0, 1, 2],
        "dtype": "float32",
        "extras": [],
        "converted_from": [],
    }
    assert manifest["version"] == 2
    assert manifest["writer"] == bvkeras.__version__
    assert manifest["complete"] is True
    assert manifest["regression"] is False
    assert manifest["seconds"] > 0
    sizes = [manifest[n] for n in ("examples", "num_layers", "hidden_dim")]
    assert sizes == [23, 3, 16]
    assert len(manifest["shards"]) == 6
    assert sum(shard["records"] for shard in manifest["shards"]) == 23
    for shard in manifest["shards"]:
        path = written_cache / shard["file"]
        assert path.stat().st_size == shard["num_bytes"]
        assert fileio.file_digest(path) == shard["sha256"]


def test_nothing_else_is_left_in_the_folder(written_cache):
    shards = [f"hidden_states-{i:05d}.tfrecord" for i in range(6)]
    names = {path.name for path in written_cache.iterdir()}
    assert names - {".lock"} == {"manifest.json", *shards}


def test_finished_cache_is_opened_again(encoder, cache_copy, monkeypatch):
    forbid(monkeypatch, writer, "_extract")
    cache = write_cache(
        encoder,
        CLASSES,
        make_examples(23),
        cache_copy,
        max_tokens=16,
        dtype="float32",
    )
    assert len(cache) == 23


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("data", {"examples": make_examples(22)}),
        ("split", {"examples": make_examples(23, split="validation")}),
        ("max_tokens", {"max_tokens": 15}),
        ("layers", {"layers": [0]}),
        ("dtype", {"dtype": "float16"}),
    ],
)
def test_other_settings_in_the_same_folder(
    encoder, written_cache, name, changes
):
    arguments = {
        "encoder": encoder,
        "task": CLASSES,
        "examples": make_examples(23),
        "directory": written_cache,
        "max_tokens": 16,
        "dtype": "float32",
    }
    with pytest.raises(RunError, match=f"made with {name} = "):
        write_cache(**{**arguments, **changes})


def test_other_encoder_in_the_same_folder(tiny_bert, written_cache):
    other = load_backbone(tiny_bert, dropout=0.0)
    bias = other.backbone.transformer_layers[0].weights[1]
    bias.assign(bias + 1e-6)
    with pytest.raises(RunError, match="made with encoder = "):
        write_cache(
            other,
            CLASSES,
            make_examples(23),
            written_cache,
            max_tokens=16,
            dtype="float32",
        )


def test_other_tokenizer_in_the_same_folder(tiny_bert, written_cache, tmp_path):
    directory = shutil.copytree(tiny_bert, tmp_path / "bert")
    words = (directory / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words[-1], words[-2] = words[-2], words[-1]
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    with pytest.raises(RunError, match="made with tokenizer = "):
        write_cache(
            load_backbone(directory, dropout=0.0),
            CLASSES,
            make_examples(23),
            written_cache,
            max_tokens=16,
            dtype="float32",
        )


@pytest.mark.parametrize(
    ("dtype", "place", "layers", "named"),
    [
        # Examples 1, 3, 5, 7 hold the token; the longest of them comes first.
        ("float32", 1, None, "zoë-3"),
        ("float16", 1, None, "zoë-3"),
        # [SEP], the last of all examples. No other token's embedding knows.
        ("float32", 2, [0], "zoë-4"),
        ("int8", 2, [0], "zoë-4"),
    ],
)
def test_nan_names_the_example(
    tiny_bert, tmp_path, dtype, place, layers, named
):
    encoder = load_backbone(tiny_bert, dropout=0.0)
    examples = make_examples(9)
    token = encoder.tokenizer.pack(["7"], None, 8)[0][0][place]
    embeddings = encoder.backbone.token_embedding.embeddings
    values = embeddings.numpy()
    values[token] = np.nan
    embeddings.assign(values)
    with pytest.raises(DataError, match=f"sst2 train, example '{named}'"):
        write_cache(
            encoder, CLASSES, examples, tmp_path, dtype=dtype, layers=layers
        )
    with pytest.raises(CacheError):
        HiddenStateCache(tmp_path)


def test_too_small_a_disk_is_seen_beforehand(encoder, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(
        shards.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000)
    )
    forbid(monkeypatch, writer, "write_shard")
    with pytest.raises(CacheError, match=r"GB .*0\.0 GB free"):
        write_cache(encoder, CLASSES, make_examples(9), tmp_path)


def test_disk_that_is_just_large_enough(encoder, tmp_path, monkeypatch):
    examples = make_examples(9)
    num_bytes = plan_cache(encoder, examples).num_bytes["bfloat16"]
    usage = collections.namedtuple("usage", ["total", "used", "free"])
    needed = num_bytes + shards._SPARE_BYTES
    monkeypatch.setattr(
        shards.shutil, "disk_usage", lambda path: usage(0, 0, needed)
    )
    assert len(write_cache(encoder, CLASSES, examples, tmp_path)) == 9


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        ("examples: .*none", {"examples": make_examples(2).take([])}),
        ("^dtype: .*'int4'", {"dtype": "int4"}),
        ("compute_dtype: .*'int4'", {"compute_dtype": "int4"}),
        ("extras: .*'words'", {"extras": ("words",)}),
        ("max_batch_tokens: .*0", {"max_batch_tokens": 0}),
        (r"layers: .*each once, got \[0, -3\]", {"layers": [0, -3]}),
        ("max_tokens", {"max_tokens": 10**6}),
        ("layers", {"layers": [3]}),
    ],
)
def test_wrong_arguments(encoder, tmp_path, match, changes):
    arguments = {"examples": make_examples(2), "directory": tmp_path}
    with pytest.raises(ArgumentError, match=match):
        write_cache(encoder, CLASSES, **{**arguments, **changes})


@pytest.mark.parametrize("shard_bytes", [1, 8000, 1 << 30])
def test_shards_of_every_size_hold_the_same(
    encoder, written_cache, tmp_path, monkeypatch, shard_bytes
):
    monkeypatch.setattr(writer, "_SHARD_BYTES", shard_bytes)
    cache = write_cache(
        encoder,
        CLASSES,
        make_examples(23),
        tmp_path,
        max_tokens=16,
        dtype="float32",
    )
    assert (
        len(cache.manifest.shards) == {1: 23, 8000: 6, 1 << 30: 1}[shard_bytes]
    )
    verify_cache(tmp_path)
    ids = [record["id"] for record in all_records(cache)]
    expected = all_records(HiddenStateCache(written_cache))
    assert ids == [record["id"] for record in expected]


def test_padded_batch_size_of_one_long_example(encoder, tmp_path):
    examples = dataclasses.replace(
        make_examples(3), texts_a=("", "a " * 60, "z")
    )
    cache = write_cache(
        encoder, CLASSES, examples, tmp_path, max_tokens=64, max_batch_tokens=8
    )
    assert [r["length"] for r in all_records(cache)] == [2, 62, 3]


def test_processes_that_share_a_cache_come_with_one_plan(
    encoder, tmp_path, monkeypatch
):
    arguments = {"encoder": encoder, "task": CLASSES, "directory": tmp_path}
    arguments |= {"examples": make_examples(9), "shared": True}
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, shared_writing, "write_shard", 1, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            write_cache(**arguments)
    with pytest.raises(CacheError, match="unfinished"):
        HiddenStateCache(tmp_path)
    with pytest.raises(RunError, match="max_batch_tokens = 1024, not 99"):
        write_cache(**arguments, max_batch_tokens=99)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    with pytest.raises(RunError, match="TF_NUM_INTRAOP_THREADS to "):
        write_cache(**arguments)
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "computed_by", lambda *_: "another processor")
        with pytest.raises(RunError, match="BVKERAS_IMPLEMENTATION"):
            write_cache(**arguments)
    with pytest.raises(RunError, match="several processes"):
        prune_cache(tmp_path)
    # Alone again, it finishes what several began.
    assert len(write_cache(**arguments | {"shared": False})) == 9
    assert not (tmp_path / ".workers").exists()
