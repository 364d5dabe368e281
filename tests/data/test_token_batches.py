import dataclasses

import numpy as np
import pytest

from bvkeras.data.token_batches import (
    bucketed_batches,
    token_budget_batches,
    tokenize_examples,
)
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from tests.tiny_runs import make_examples

LENGTHS = np.random.default_rng(0).integers(3, 120, size=1009)


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return load_backbone(tiny_bert, dropout=0.0)


def padded_tokens(lengths, batches):
    return sum(len(batch) * lengths[batch].max() for batch in batches)


@pytest.mark.parametrize(
    ("num_examples", "batch_size"),
    [(1, 8), (7, 8), (8, 8), (9, 8), (401, 8), (1009, 1), (1009, 16)],
)
def test_buckets_hold_each_example_once(num_examples, batch_size):
    batches = bucketed_batches(LENGTHS[:num_examples], batch_size, 3, 1)
    assert sorted(np.concatenate(batches)) == list(range(num_examples))
    sizes = sorted(len(batch) for batch in batches)
    assert len(sizes) == -(-num_examples // batch_size)
    assert set(sizes[1:]) <= {batch_size}
    assert sizes[0] == num_examples - batch_size * (len(sizes) - 1)


def test_buckets_depend_on_seed_and_epoch_alone():
    expected = bucketed_batches(LENGTHS, 16, 3, 1)
    np.random.seed(5)
    again = bucketed_batches(LENGTHS, 16, 3, 1)
    assert all(
        np.array_equal(a, b) for a, b in zip(expected, again, strict=True)
    )


@pytest.mark.parametrize(("seed", "epoch"), [(3, 2), (4, 1), (1, 3)])
def test_buckets_change_with_seed_and_epoch(seed, epoch):
    first = {frozenset(b) for b in bucketed_batches(LENGTHS, 16, 3, 1)}
    other = {frozenset(b) for b in bucketed_batches(LENGTHS, 16, seed, epoch)}
    assert not first & other


def test_buckets_need_little_padding():
    order = np.random.default_rng(1).permutation(len(LENGTHS))
    shuffled = [order[i : i + 16] for i in range(0, len(order), 16)]
    bucketed = padded_tokens(LENGTHS, bucketed_batches(LENGTHS, 16, 0, 0))
    assert bucketed < 1.1 * LENGTHS.sum()
    assert padded_tokens(LENGTHS, shuffled) > 1.5 * LENGTHS.sum()


def test_long_and_short_batches_alternate():
    means = [LENGTHS[b].mean() for b in bucketed_batches(LENGTHS, 16, 0, 0)]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.5


@pytest.mark.parametrize("max_batch_tokens", [1, 119, 120, 500, 10**6])
def test_budget_batches(max_batch_tokens):
    batches = token_budget_batches(LENGTHS, max_batch_tokens)
    assert sorted(np.concatenate(batches)) == list(range(len(LENGTHS)))
    for batch in batches:
        padded = len(batch) * LENGTHS[batch].max()
        assert padded <= max_batch_tokens or len(batch) == 1


def test_budget_batches_are_as_full_as_they_can_be():
    batches = token_budget_batches(LENGTHS, 500)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * LENGTHS[batch].max() > 500


def test_budget_batches_of_nothing():
    assert token_budget_batches(np.array([], np.int64), 100) == []


def test_batch_is_padded_to_its_own_longest(encoder):
    tokens = tokenize_examples(make_examples(5), encoder, 32)
    assert tokens.lengths.tolist() == [4, 7, 10, 13, 16]
    batch = tokens.batch([2, 0])
    assert {array.shape for array in batch.values()} == {(2, 10)}
    assert batch["padding_mask"].sum(axis=1).tolist() == [10, 4]
    assert (batch["token_ids"][1, 4:] == tokens.pad_id).all()
    np.testing.assert_array_equal(batch["token_ids"][0], tokens.rows[2][0])


def test_batch_equals_preprocess(encoder):
    examples = make_examples(7)
    tokens = tokenize_examples(examples, encoder, 12)
    expected = encoder.preprocess(examples.texts_a, max_tokens=12)
    for name, array in tokens.batch(range(7)).items():
        np.testing.assert_array_equal(array, expected[name])


def test_long_examples_are_cut(encoder):
    tokens = tokenize_examples(make_examples(5), encoder, 9)
    assert tokens.lengths.tolist() == [4, 7, 9, 9, 9]


def test_segment_ids_of_a_pair(encoder):
    pair = dataclasses.replace(
        make_examples(1), texts_a=("a b",), texts_b=("z",)
    )
    tokens = tokenize_examples(pair, encoder, 32)
    ids, segments = tokens.rows[0]
    assert segments.tolist() == [0, 0, 0, 0, 1, 1]
    assert ids[3] == ids[5]


def test_more_tokens_than_the_encoder_takes(encoder):
    limit = encoder.backbone.max_sequence_length
    tokenize_examples(make_examples(1), encoder, limit)
    with pytest.raises(ArgumentError, match=f"at most {limit} .*{limit + 1}"):
        tokenize_examples(make_examples(1), encoder, limit + 1)
