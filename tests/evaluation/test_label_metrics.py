"""Metrics of several labels a text, against scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.label_metrics import LABEL_METRICS, LabelCounts


@pytest.mark.parametrize("shape", [(1, 1), (7, 2), (40, 5), (3, 11)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_metrics_are_scikit_learns(shape, share):
    generator = np.random.default_rng(3)
    labels, predictions = (generator.random((2, *shape)) < share).astype(int)
    found = compute_metrics(list(LABEL_METRICS), labels, predictions)
    micro = sklearn.metrics.f1_score(
        labels.ravel(), predictions.ravel(), zero_division=0.0
    )
    # Labels that no row has or gets are not in the mean.
    by_label = [
        sklearn.metrics.f1_score(*pair, zero_division=np.nan)
        for pair in zip(labels.T, predictions.T, strict=True)
        if np.any(pair)
    ]
    assert found["micro_f1"] == pytest.approx(micro)
    assert found["macro_f1"] == pytest.approx(np.mean(by_label or [0.0]))
    right = np.mean([a == b for a, b in zip(labels.tolist(),
                                            predictions.tolist(),
                                            strict=True)])  # fmt: skip
    assert found["subset_accuracy"] == pytest.approx(right)
    counts = LabelCounts.of(labels, predictions)
    expected = sklearn.metrics.precision_recall_fscore_support(
        labels, predictions, zero_division=np.nan, average=None
    ) if shape[1] > 1 else None  # fmt: skip
    if expected is not None:
        np.testing.assert_allclose(counts.precision, expected[0])
        np.testing.assert_allclose(counts.recall, expected[1])
        np.testing.assert_array_equal(counts.labelled, expected[3])


def test_no_label_at_all_is_no_score():
    nothing = np.zeros((4, 3), int)
    assert compute_metrics(list(LABEL_METRICS), nothing, nothing) == {
        "micro_f1": 0.0,
        "macro_f1": 0.0,
        "subset_accuracy": 1.0,
    }


@pytest.mark.parametrize(
    ("names", "labels", "predictions", "message"),
    [
        (["accuracy"], np.eye(2), np.eye(2), "expected .rows,. for accuracy"),
        (["micro_f1"], [1, 0], [1, 0], "expected .rows, labels. for micro"),
        (["micro_f1"], np.eye(2), np.eye(2) / 2, "row 0, label 0 is 0.5"),
        (["micro_f1"], np.eye(2), np.ones(2), "expected \\(rows, labels"),
        (["micro_f1"], np.eye(2), np.eye(2, 3), "3 labels a row; expected 2"),
        (["micro_f1"], np.eye(2), np.eye(3, 2), "3 rows for 2"),
        (["micro_f1"], np.zeros((0, 2)), np.zeros((0, 2)), "at least one"),
    ],
)
def test_what_cannot_be_compared_is_named(names, labels, predictions, message):
    with pytest.raises(ArgumentError, match=message):
        compute_metrics(names, labels, predictions)
