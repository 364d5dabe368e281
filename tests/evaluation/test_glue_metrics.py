"""Each metric against its definition, written out here in numpy."""

import warnings

import numpy as np
import pytest
import sklearn.metrics

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.glue_metrics import compute_metrics

CLASS_METRICS = ["accuracy", "f1", "matthews"]
SCORE_METRICS = ["pearson", "spearman"]


def ratio(numerator, denominator):
    return numerator / denominator if denominator else 0.0


def define_class_metrics(labels, predictions):
    pairs = list(zip(labels.tolist(), predictions.tolist(), strict=True))
    tp, tn = pairs.count((1, 1)), pairs.count((0, 0))
    fp, fn = pairs.count((0, 1)), pairs.count((1, 0))
    root = np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    return {
        "accuracy": (tp + tn) / len(pairs),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "matthews": ratio(tp * tn - fp * fn, root),
    }


def define_pearson(x, y):
    x, y = x - x.mean(), y - y.mean()
    return ratio((x * y).sum(), np.sqrt((x * x).sum() * (y * y).sum()))


def average_ranks(values):
    return np.array(
        [(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values]
    )


def define_score_metrics(labels, predictions):
    return {
        "pearson": define_pearson(labels, predictions),
        "spearman": define_pearson(
            average_ranks(labels), average_ranks(predictions)
        ),
    }


def compute_quietly(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compute_metrics(*arguments)


@pytest.mark.parametrize("num_rows", [1, 2, 3, 17, 277])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_class_metrics_equal_their_definitions(num_rows, rate):
    generator = np.random.default_rng(num_rows)
    for label_rate in (0.0, 0.5, 1.0):
        labels = (generator.random(num_rows) < label_rate).astype(np.int64)
        predictions = (generator.random(num_rows) < rate).astype(np.int32)
        scores = compute_quietly(CLASS_METRICS, labels, predictions)
        assert scores == pytest.approx(
            define_class_metrics(labels, predictions), abs=1e-12
        )
        assert all(type(score) is float for score in scores.values())


@pytest.mark.parametrize("num_rows", [2, 3, 17, 277])
@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_score_metrics_equal_their_definitions(num_rows, decimals):
    # Few decimals make many ties.
    generator = np.random.default_rng(num_rows)
    labels = generator.uniform(0, 5, num_rows).round(decimals)
    predictions = (labels + generator.normal(0, 2, num_rows)).round(decimals)
    labels[0], predictions[-1] = 5.5, -3.5
    scores = compute_quietly(SCORE_METRICS, labels, predictions)
    assert scores == pytest.approx(
        define_score_metrics(labels, predictions), abs=1e-9
    )


def test_matthews_of_three_classes_equals_the_correlation_of_indicators():
    generator = np.random.default_rng(3)
    labels, predictions = generator.integers(0, 3, (2, 500))
    x, y = np.eye(3)[labels], np.eye(3)[predictions]
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    scores = compute_quietly(["matthews"], labels, predictions)
    assert scores["matthews"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_rows", [2, 17, 277])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_class_metrics_equal_scikit_learns(num_rows, num_classes):
    generator = np.random.default_rng(num_rows)
    labels, predictions = generator.integers(0, num_classes, (2, num_rows))
    scores = compute_quietly(["accuracy", "matthews"], labels, predictions)
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(labels, predictions),
        "matthews": sklearn.metrics.matthews_corrcoef(labels, predictions),
    }
    if num_classes == 2:
        scores |= compute_quietly(["f1"], labels, predictions)
        expected["f1"] = sklearn.metrics.f1_score(
            labels, predictions, zero_division=0.0
        )
    assert scores == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_rows", [1, 2, 17, 277])
@pytest.mark.parametrize("num_classes", [1, 2, 5])
def test_macro_f1_equals_scikit_learns(num_rows, num_classes):
    generator = np.random.default_rng(num_rows)
    labels, predictions = generator.integers(0, num_classes, (2, num_rows))
    # A class that is only predicted, and one in neither.
    predictions[-1] = num_classes + 1
    expected = sklearn.metrics.f1_score(
        labels, predictions, average="macro", zero_division=0.0
    )
    scores = compute_quietly(["macro_f1"], labels, predictions)
    assert scores["macro_f1"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_rows", [2, 3, 17, 277])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_errors_equal_scikit_learns(num_rows, dtype):
    generator = np.random.default_rng(num_rows)
    labels = (100 * generator.normal(size=num_rows)).astype(dtype)
    predictions = labels + generator.normal(size=num_rows).astype(np.float32)
    scores = compute_quietly(["r2", "mae", "rmse"], labels, predictions)
    exact = labels.astype(np.float64), predictions.astype(np.float64)
    assert scores == pytest.approx(
        {
            "r2": sklearn.metrics.r2_score(*exact),
            "mae": sklearn.metrics.mean_absolute_error(*exact),
            "rmse": sklearn.metrics.root_mean_squared_error(*exact),
        },
        rel=1e-9,
    )


def test_class_1_is_the_positive_class():
    labels, predictions = np.array([1, 1, 0, 0, 0]), np.array([1, 0, 0, 0, 0])
    scores = compute_quietly(["f1"], labels, predictions)
    assert scores["f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("constant", ["labels", "predictions", "both"])
def test_constant_values_correlate_to_zero(constant):
    values = np.array([0.25, 1.5, 4.0])
    same = np.full(3, 2.7, dtype=np.float32)
    labels = values if constant == "predictions" else same
    predictions = values if constant == "labels" else same
    assert compute_quietly(SCORE_METRICS, labels, predictions) == {
        "pearson": 0.0,
        "spearman": 0.0,
    }


def test_constant_labels_have_no_variance_to_explain():
    labels, predictions = np.array([2.5, 2.5]), np.array([2.5, 2.5])
    assert compute_quietly(["r2"], labels, predictions) == {"r2": 0.0}


def test_nearly_constant_predictions_give_no_warning():
    predictions = np.array([1.0, 1.0, 1.0 + 1e-15])
    scores = compute_quietly(["pearson"], np.array([1, 2, 3]), predictions)
    assert -1 <= scores["pearson"] <= 1


def test_order_of_names_is_kept():
    scores = compute_metrics(["matthews", "accuracy"], [0, 1], [0, 1])
    assert list(scores.items()) == [("matthews", 1.0), ("accuracy", 1.0)]


@pytest.mark.parametrize(
    ("names", "labels", "predictions", "message"),
    [
        (["bleu"], [0], [0], "unknown metric 'bleu'"),
        (["accuracy"], [0, 1], [0], "1 rows for 2 labels"),
        (["accuracy"], [], [], "at least one row"),
        (["accuracy"], [[0, 1]], [[0, 1]], r"shape \(1, 2\)"),
        (["pearson"], [1.0, 2.0], [1.0, np.nan], "predictions: row 1 is nan"),
        (["pearson"], [np.inf, 2.0], [1.0, 2.0], "labels: row 0 is inf"),
        (["pearson"], [1.0, 2.0], ["a", "b"], "expected numbers"),
        (["accuracy"], [0, 1], [0.2, 0.9], "float64 values for accuracy"),
        (["matthews"], [0, -1], [0, 1], "labels: row 1 is -1 for matthews"),
        (["f1"], [0, 1], [0, 2], "predictions: row 1 is 2 for f1"),
    ],
)
def test_wrong_input_is_one_line(names, labels, predictions, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        compute_metrics(names, labels, predictions)
    assert "\n" not in str(caught.value)
