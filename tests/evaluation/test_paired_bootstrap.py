import numpy as np
import pytest

from bvkeras.errors import ArgumentError
from bvkeras.evaluation import paired_bootstrap
from bvkeras.evaluation.paired_bootstrap import (
    measured_difference,
    paired_difference,
)
from bvkeras.evaluation.predictions import write_predictions

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 400)


def predictions_that_are_right(share, seed):
    right = np.random.default_rng(seed).random(len(LABELS)) < share
    return np.where(right, LABELS, 1 - LABELS)


def test_interval_of_accuracy_is_the_normal_one():
    first, second = (predictions_that_are_right(0.7, seed) for seed in (1, 2))
    found = paired_difference("accuracy", LABELS, [first], [second])
    changes = (second == LABELS).astype(float) - (first == LABELS)
    half = 1.96 * changes.std() / np.sqrt(len(LABELS))
    assert found.difference == pytest.approx(changes.mean())
    assert found.low == pytest.approx(changes.mean() - half, abs=0.01)
    assert found.high == pytest.approx(changes.mean() + half, abs=0.01)


def test_pairs_share_their_noise():
    """Of two that nearly agree the interval is far narrower than of two
    that do not."""
    first = predictions_that_are_right(0.7, 1)
    second = first.copy()
    second[:4] = LABELS[:4]
    near = paired_difference("accuracy", LABELS, [first], [second])
    far = paired_difference(
        "accuracy", LABELS, [first], [predictions_that_are_right(0.7, 9)]
    )
    assert near.high - near.low < (far.high - far.low) / 4


def test_runs_are_averaged():
    first = [predictions_that_are_right(0.6, seed) for seed in range(3)]
    second = [predictions_that_are_right(0.8, seed) for seed in range(3, 6)]
    found = paired_difference("matthews", LABELS, first, second, repeats=100)
    single = [
        paired_difference("matthews", LABELS, [a], [b], repeats=2).difference
        for a, b in zip(first, second, strict=True)
    ]
    assert found.difference == pytest.approx(np.mean(single))
    assert 0 < found.low < found.difference < found.high


def test_the_same_is_surely_the_same():
    one = predictions_that_are_right(0.7, 1)
    found = paired_difference("matthews", LABELS, [one], [one], repeats=20)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("second", [[], [LABELS, LABELS]])
def test_runs_must_be_pairs(second):
    with pytest.raises(ArgumentError, match=f"received {len(second)} runs"):
        paired_difference("accuracy", LABELS, [LABELS], second)


def test_files_are_measured_once(tmp_path, monkeypatch):
    paths = [tmp_path / "first.tsv", tmp_path / "second.tsv"]

    def write(path, seed):
        found = predictions_that_are_right(0.7, seed)
        ids = range(len(LABELS))
        scores = np.eye(2)[found]
        write_predictions(path, ids, found, LABELS, scores, ("no", "yes"))

    for seed, path in enumerate(paths):
        write(path, seed)
    arguments = ("accuracy", *paths, tmp_path / "difference.json")
    found = measured_difference(*arguments)
    with monkeypatch.context() as patched:
        patched.setattr(paired_bootstrap, "paired_difference", None)
        assert measured_difference(*arguments) == found
    # Other predictions are measured anew.
    write(paths[1], 5)
    assert measured_difference(*arguments) != found
