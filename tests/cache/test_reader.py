import json

import keras
import numpy as np
import pytest

from bvkeras import fileio
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.writer import write_cache
from bvkeras.errors import ArgumentError, CacheError
from bvkeras.models.pooling_classifier import PoolingClassifier
from tests.tiny_runs import CLASSES, make_examples


def rewrite_manifest(directory, **changes):
    """Changes the manifest and its digest, as somebody with intent does."""
    path = directory / "manifest.json"
    record = {**fileio.read_json(path), **changes}
    del record["digest"]
    record["digest"] = fileio.value_digest(record)
    fileio.write_json(path, record)


def order(cache, **arguments):
    return [
        index
        for batch in cache.batches(4, **arguments).as_numpy_iterator()
        for index in batch["index"].tolist()
    ]


def test_sizes(written_cache):
    cache = HiddenStateCache(str(written_cache))
    assert len(cache) == 23
    assert (cache.num_layers, cache.hidden_dim) == (3, 16)
    assert (cache.dtype, cache.max_tokens) == ("float32", 16)
    files = written_cache.glob("*.tfrecord")
    assert cache.num_bytes == sum(path.stat().st_size for path in files)
    assert "23 examples" in repr(cache)


def test_dataset_goes_into_fit(written_cache):
    cache = HiddenStateCache(written_cache)
    model = PoolingClassifier(num_classes=2, units=4, sequence_length=16)
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    dataset = cache.as_dataset(batch_size=8, shuffle=True)
    assert dataset.cardinality().numpy() == 3
    losses = model.fit(dataset, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert model.predict(cache.as_dataset(8), verbose=0).shape == (23, 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_padding_is_zero_and_masked(encoder, tmp_path, dtype):
    cache = write_cache(
        encoder, CLASSES, make_examples(5), tmp_path, dtype=dtype
    )
    ((states, mask), labels), *others = cache.as_dataset(
        batch_size=4
    ).as_numpy_iterator()
    assert len(others) == 1
    assert states.dtype.name == dtype
    assert states.shape == (4, 13, 3, 16)
    assert mask.dtype == np.uint8
    mask = mask.astype(bool)
    assert mask.sum(axis=1).tolist() == [4, 7, 10, 13]
    assert labels.tolist() == [0, 1, 0, 1]
    assert (states[~mask] == 0).all()
    assert (states[mask] != 0).any(axis=(1, 2)).all()


def test_what_is_padded_does_not_change_a_prediction(written_cache):
    cache = HiddenStateCache(written_cache)
    model = PoolingClassifier(num_classes=2, units=4, sequence_length=16)
    one, all_at_once = (
        model.predict(cache.as_dataset(size), verbose=0) for size in (1, 23)
    )
    np.testing.assert_allclose(one, all_at_once, atol=1e-5)


def test_batches_in_order(written_cache):
    cache = HiddenStateCache(written_cache)
    assert order(cache) == list(range(23))
    first = next(cache.batches(4).as_numpy_iterator())
    assert first["id"].tolist() == [f"zoë-{i}".encode() for i in range(4)]


def test_shuffle_covers_every_example(written_cache):
    shuffled = order(HiddenStateCache(written_cache), shuffle=True, seed=7)
    assert sorted(shuffled) == list(range(23))
    assert shuffled != list(range(23))


def test_shuffle_depends_on_the_seed(written_cache):
    cache = HiddenStateCache(written_cache)
    first = order(cache, shuffle=True, seed=7)
    assert order(cache, shuffle=True, seed=7) == first
    assert order(cache, shuffle=True, seed=8) != first


def test_each_pass_has_another_order(written_cache):
    dataset = HiddenStateCache(written_cache).batches(23, shuffle=True)
    passes = [
        next(dataset.as_numpy_iterator())["index"].tolist() for _ in range(2)
    ]
    assert passes[0] != passes[1]


def test_shuffle_mixes_shards(written_cache):
    # Without a buffer over them, each four or five rows would be neighbours.
    shuffled = order(HiddenStateCache(written_cache), shuffle=True, seed=7)
    steps = np.abs(np.diff(shuffled))
    assert (steps > 5).sum() > 5


@pytest.mark.parametrize("batch_size", [0, -1])
@pytest.mark.parametrize("method", ["as_dataset", "batches"])
def test_batch_size_below_one(written_cache, method, batch_size):
    cache = HiddenStateCache(written_cache)
    with pytest.raises(ArgumentError, match=f"batch_size: .*{batch_size}"):
        getattr(cache, method)(batch_size)


def test_no_cache_there(tmp_path):
    with pytest.raises(CacheError, match=r"it has no manifest\.json"):
        HiddenStateCache(tmp_path / "nothing")


def test_unfinished_cache(cache_copy):
    rewrite_manifest(cache_copy, complete=False)
    with pytest.raises(CacheError, match="unfinished"):
        HiddenStateCache(cache_copy)


def test_missing_shard(cache_copy):
    (cache_copy / "hidden_states-00002.tfrecord").unlink()
    with pytest.raises(CacheError, match=r"00002\.tfrecord is missing"):
        HiddenStateCache(cache_copy)


@pytest.mark.parametrize("num_bytes", [0, -1, 1])
def test_shard_of_another_size(cache_copy, num_bytes):
    path = cache_copy / "hidden_states-00002.tfrecord"
    content = path.read_bytes()
    changed = content + b"x" if num_bytes == 1 else content[:num_bytes]
    path.write_bytes(changed)
    with pytest.raises(CacheError) as error:
        HiddenStateCache(cache_copy)
    assert str(error.value) == (
        f"{path} has {len(changed)} bytes, the manifest says {len(content)}"
    )


def test_other_format_version(cache_copy):
    rewrite_manifest(cache_copy, version=1)
    with pytest.raises(CacheError, match=r"version 1, .* version 2; extract"):
        HiddenStateCache(cache_copy)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b"\xff\xfe\x00",
        b'{"version": 2}',
        b'{"version": 2, "shards": 3}',
        b'{"version": 2, "shards": [{"file": "a"}]}',
    ],
)
def test_garbage_for_a_manifest(cache_copy, content):
    (cache_copy / "manifest.json").write_bytes(content)
    with pytest.raises(CacheError) as error:
        HiddenStateCache(cache_copy)
    assert str(cache_copy / "manifest.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_manifest_with_a_field_nobody_knows(cache_copy):
    rewrite_manifest(cache_copy, surprise=1)
    with pytest.raises(CacheError, match="surprise"):
        HiddenStateCache(cache_copy)


@pytest.mark.parametrize(
    "file", ["../stolen", "/etc/passwd", "..", ".", "", "a/b", "./a"]
)
def test_manifest_that_names_a_path_outside(cache_copy, file):
    (cache_copy.parent / "stolen").write_text("")
    path = cache_copy / "manifest.json"
    manifest = fileio.read_json(path)
    manifest["shards"][0] |= {"file": file, "num_bytes": 0}
    path.write_text(json.dumps(manifest))
    with pytest.raises(CacheError):
        HiddenStateCache(cache_copy)
