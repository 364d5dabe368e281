"""Rows of pairs taken apart and put together again."""

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.ops.text_pairs import (
    compared,
    join_pairs,
    pair_features,
    pair_mask,
    split_pairs,
)


def packed(pairs, width):
    """Rows of ids: those of the first text and then those of the second."""
    ids, segments, mask = (np.zeros((len(pairs), width), int) for _ in "abc")
    for row, (first, second) in enumerate(pairs):
        both = [*first, *second]
        ids[row, : len(both)] = both
        segments[row, len(first) : len(both)] = 1
        mask[row, : len(both)] = 1
    return {"token_ids": ids, "segment_ids": segments, "padding_mask": mask}


PAIRS = [([5, 6, 7], [8]), ([1], [2, 3, 4, 9]), ([7, 7], [7, 7])]


@pytest.mark.parametrize("padding", [0, 3])
def test_texts_are_rows_of_their_own(padding):
    rows = split_pairs(packed(PAIRS, 5 + padding))
    texts = [first for first, _ in PAIRS] + [second for _, second in PAIRS]
    longest = max(map(len, texts))
    assert not rows["segment_ids"].numpy().any()
    for row, text in enumerate(texts):
        missing = [0] * (longest - len(text))
        assert rows["token_ids"][row].numpy().tolist() == [*text, *missing]
        kept = [1] * len(text) + missing
        assert rows["padding_mask"][row].numpy().tolist() == kept


def test_together_again_they_say_whose_they_are():
    rows = split_pairs(packed(PAIRS, 6))
    values = join_pairs(rows["token_ids"][:, :, tf.newaxis])[..., 0].numpy()
    mask = pair_mask(rows["padding_mask"]).numpy()
    for row, (first, second) in enumerate(PAIRS):
        assert values[row][mask[row] == 1].tolist() == first
        assert values[row][mask[row] == 2].tolist() == second
        assert not values[row][mask[row] == 0].any()


def test_no_pair_and_no_token():
    rows = split_pairs(packed([], 4))
    assert rows["token_ids"].shape == (0, 1)
    rows = split_pairs(packed([([], []), ([], [])], 0))
    assert rows["padding_mask"].numpy().tolist() == [[0]] * 4


def test_features_of_vectors():
    random = np.random.default_rng(0)
    u, v = random.normal(size=(2, 4, 3, 5))
    u[0, 0] = 0
    found = pair_features(tf.constant(u), tf.constant(v)).numpy()
    assert found.shape == (4, 3 * 11)
    norms = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
    cosines = (u * v).sum(axis=-1) / np.maximum(norms, 1e-9)
    np.testing.assert_allclose(found[:, :3], cosines, atol=1e-9)
    assert found[0, 0] == 0
    # One layer's products have its cosine as their mean.
    products = found[:, 18:].reshape(4, 3, 5)
    np.testing.assert_allclose(products.mean(axis=-1), cosines, atol=1e-9)
    unit = u[1, 2] / np.sqrt(np.mean(u[1, 2] ** 2))
    other = v[1, 2] / np.sqrt(np.mean(v[1, 2] ** 2))
    differences = found[:, 3:18].reshape(4, 3, 5)
    np.testing.assert_allclose(differences[1, 2], np.abs(unit - other))
    one = pair_features(tf.constant(u[:, 2:]), tf.constant(v[:, 2:])).numpy()
    both = compared(tf.constant(u[:, 2]), tf.constant(v[:, 2])).numpy()
    np.testing.assert_allclose(both, 0.1 * one)
