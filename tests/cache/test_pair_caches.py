"""Caches of pairs whose texts were encoded each by itself."""

import dataclasses

import numpy as np
import pytest

from bvkeras.cache.convert import convert_cache
from bvkeras.cache.copy import copy_cache
from bvkeras.cache.format import Manifest
from bvkeras.cache.info import describe_cache
from bvkeras.cache.pairs import PAIRS_FILE
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.cache.writer import plan_cache, write_cache
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, CacheError, RunError
from tests.text_pairs import SCORES_APART, make_pairs

PAIRS = 13
# The longest of them is cut.
MAX_TOKENS = 8


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return load_backbone(tiny_bert, dropout=0.0)


@pytest.fixture(scope="module")
def cache(encoder, tmp_path_factory):
    return write_cache(
        encoder,
        SCORES_APART,
        make_pairs(PAIRS),
        tmp_path_factory.mktemp("pairs") / "cache",
        max_tokens=MAX_TOKENS,
        dtype="float32",
        extras=["token_ids"],
    )


@pytest.fixture(scope="module")
def alone(encoder):
    """The hidden states of every text, encoded in a batch of its own."""
    forward = FastEncoder(encoder.backbone)
    examples = make_pairs(PAIRS)
    found = {}
    for text in {*examples.texts_a, *examples.texts_b}:
        batch = encoder.preprocess([text], max_tokens=MAX_TOKENS)
        found[text] = np.stack(forward(batch), axis=2)[0]
    return found


def test_each_text_is_kept_once(cache, encoder):
    assert len(cache) == PAIRS
    assert cache.manifest.examples == 6
    about = describe_cache(cache.directory)
    assert about["examples"] == "6"
    assert about["pairs"] == "13, each two of the examples"
    plan = plan_cache(
        encoder,
        make_pairs(PAIRS),
        max_tokens=MAX_TOKENS,
        extras=["token_ids"],
        apart=True,
    )
    assert plan.examples == 6
    assert plan.tokens == cache.num_tokens
    assert plan.num_bytes["float32"] == pytest.approx(
        cache.num_bytes, rel=0.02, abs=1000
    )


def test_batches_have_both_texts_as_the_encoder_reads_them_alone(cache, alone):
    examples = make_pairs(PAIRS)
    for one in (cache, cache.load()):
        done = 0
        for (states, mask), labels in one.as_dataset(5):
            for row, label in enumerate(labels.numpy()):
                assert label == examples.labels[done]
                for text, part in zip(
                    (examples.texts_a[done], examples.texts_b[done]),
                    (1, 2),
                    strict=True,
                ):
                    own = mask.numpy()[row] == part
                    np.testing.assert_allclose(
                        states.numpy()[row][own], alone[text], atol=2e-6
                    )
                assert not states.numpy()[row][mask.numpy()[row] == 0].any()
                done += 1
        assert done == PAIRS
        assert one.ids() == list(examples.ids)
        np.testing.assert_array_equal(one.labels(), examples.labels)
        wanted = [
            len(alone[a]) + len(alone[b])
            for a, b in zip(examples.texts_a, examples.texts_b, strict=True)
        ]
        assert one.lengths().tolist() == wanted


def test_shuffled_in_parts_and_with_extras(cache):
    part, rest = cache.split(0.3, seed=1)
    assert len(part) + len(rest) == PAIRS
    ids = []
    for batch in part.batches(4, shuffle=True, bucket=True):
        assert batch["mask"].dtype.name == "uint8"
        is_token = batch["mask"].numpy() > 0
        assert (batch["token_ids"].numpy() > 0).tolist() == is_token.tolist()
        ids += [name.decode() for name in batch["id"].numpy()]
    assert sorted(ids) == sorted(part.ids())
    loaded, stored = (
        next(iter(one.batches(PAIRS, shuffle=True, seed=3)))
        for one in (cache.load(), cache)
    )
    for name, values in stored.items():
        np.testing.assert_array_equal(loaded[name], values)


def test_copied_and_converted_the_pairs_go_along(cache, tmp_path):
    copy_cache(cache.directory, tmp_path / "copy")
    convert_cache(
        cache.directory, tmp_path / "int8", dtype="int8", layers=[0, 2]
    )
    for name in ("copy", "int8"):
        opened = HiddenStateCache(tmp_path / name)
        assert len(opened) == PAIRS
        assert opened.ids() == cache.ids()
        assert find_problems(opened.directory) == []
    (values, mask), _ = next(iter(opened.as_dataset(PAIRS, dtype="float32")))
    (wanted, same), _ = next(iter(cache.as_dataset(PAIRS)))
    np.testing.assert_array_equal(mask, same)
    np.testing.assert_allclose(values, wanted.numpy()[:, :, [0, 2]], atol=0.03)


def _manifest_with(directory, **pairs):
    manifest = Manifest.read(directory)
    identity = {**manifest.identity}
    identity["pairs"] = {**identity["pairs"], **pairs}
    dataclasses.replace(manifest, identity=identity).write(directory)


def test_a_file_of_pairs_that_was_changed_is_refused(cache, tmp_path):
    copy = copy_cache(cache.directory, tmp_path / "copy").directory
    path = copy / PAIRS_FILE
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CacheError, match=r"pairs.safetensors: its bytes are"):
        HiddenStateCache(copy)
    (problem,) = find_problems(copy)
    assert "pairs.safetensors" in str(problem)
    path.unlink()
    with pytest.raises(CacheError, match=r"pairs.safetensors is missing"):
        HiddenStateCache(copy)
    path.symlink_to(cache.directory / PAIRS_FILE)
    with pytest.raises(CacheError, match="link to a place outside"):
        HiddenStateCache(copy)
    path.unlink()
    path.write_bytes(data)
    _manifest_with(copy, count=PAIRS - 1)
    with pytest.raises(CacheError, match="are not those of the manifest"):
        HiddenStateCache(copy)
    _manifest_with(copy, count=PAIRS)
    HiddenStateCache(copy)


def test_pairs_that_point_outside_are_refused(cache, tmp_path):
    copy = copy_cache(cache.directory, tmp_path / "copy")
    first = copy.pairs.first.copy()
    first[3] = 6
    changed = dataclasses.replace(copy.pairs, first=first)
    changed.write(copy.directory)
    _manifest_with(copy.directory, **changed.identity()["pairs"])
    with pytest.raises(CacheError, match="are not those of the manifest"):
        HiddenStateCache(copy.directory)


def test_single_texts_are_refused(encoder, tmp_path):
    examples = dataclasses.replace(make_pairs(PAIRS), texts_b=None)
    with pytest.raises(ArgumentError, match="examples: expected two texts"):
        write_cache(encoder, SCORES_APART, examples, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_id_of_any_length_comes_back(encoder, tmp_path):
    ids = ("x" * 200_000, *make_pairs(PAIRS).ids[1:])
    examples = dataclasses.replace(make_pairs(PAIRS), ids=ids)
    cache = write_cache(encoder, SCORES_APART, examples, tmp_path / "cache")
    assert cache.ids() == list(ids)


def test_joint_and_apart_are_two_caches(cache, encoder):
    joint = dataclasses.replace(SCORES_APART, pairs="joint")
    with pytest.raises(RunError, match="pairs"):
        write_cache(
            encoder,
            joint,
            make_pairs(PAIRS),
            cache.directory,
            max_tokens=MAX_TOKENS,
            dtype="float32",
            extras=["token_ids"],
        )
