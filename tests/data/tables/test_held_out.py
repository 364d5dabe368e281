"""Rows held out: of every class, no text on both sides, always the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bvkeras.data.tables.held_out import (
    choose_held_out,
    score_classes,
    text_keys,
)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 4)),
        min_size=1,
        max_size=80,
    ),
    share=st.sampled_from([0.1, 0.3, 0.9]),
    seed=st.integers(0, 3),
)
def test_no_text_on_both_sides_and_every_class_in_training(rows, share, seed):
    keys = [key for key, _ in rows]
    classes = np.array([label for _, label in rows])
    held_out = choose_held_out(keys, classes, share, seed)
    sides = [
        {k for k, h in zip(keys, held_out, strict=True) if h == side}
        for side in (False, True)
    ]
    assert not sides[0] & sides[1]
    assert set(classes[~held_out]) == set(classes)
    np.testing.assert_array_equal(
        held_out, choose_held_out(keys, classes, share, seed)
    )


def test_share_of_each_class():
    classes = np.repeat([0, 1, 2], [1000, 100, 5])
    held_out = choose_held_out(range(1105), classes, 0.1, 0)
    assert np.bincount(classes[held_out]).tolist() == [100, 10, 1]
    other = choose_held_out(range(1105), classes, 0.1, 1)
    assert (held_out != other).any()


def test_too_few_texts_hold_nothing_out():
    assert not choose_held_out("aab", np.array([0, 0, 1]), 0.1, 0).any()


def test_scores_are_dealt_by_tenths():
    scores = np.random.default_rng(0).exponential(size=1000)
    classes = score_classes(scores)
    assert np.bincount(classes).tolist() == [100] * 10
    held_out = choose_held_out(range(1000), classes, 0.1, 0)
    assert np.bincount(classes[held_out]).tolist() == [10] * 10


@pytest.mark.parametrize("count", [1, 4, 7, 60])
def test_scores_that_tie_are_one_class(count):
    assert len(set(score_classes(np.zeros(count)))) == 1


def test_keys_forgive_case_and_blanks_and_keep_pairs_apart():
    assert len(set(text_keys([["A  b\n", "a b", "\ta\xa0B"]]))) == 1
    first, second = text_keys([["a b", "a"], ["c", "b c"]])
    assert first != second
