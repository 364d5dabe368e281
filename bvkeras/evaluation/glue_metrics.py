"""Metrics of classes and scores, with every odd case decided.

Those of classes are counted here: a bootstrap asks a thousand times, and
scikit-learn checks its input longer than it counts. The tests compare them with
scikit-learn's.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.stats

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.label_metrics import LABEL_METRICS, check_label_sets


def compute_metrics(
    names: Sequence[str],
    labels: np.ndarray,
    predictions: np.ndarray,
) -> dict[str, float]:
    """Scores predictions against labels.

    GLUE's metrics and a few more: `"accuracy"`, `"f1"` (binary, class 1 is
    the positive one), `"macro_f1"` (the mean of the F1 of every class that is
    among the labels or the predictions) and `"matthews"` compare class
    indices; `"pearson"`, `"spearman"` (tied values get their average rank),
    `"r2"` (the share of the labels' variance that is explained), `"mae"` and
    `"rmse"` (mean absolute and root of the mean squared error, in the labels'
    unit) compare numbers. Of several labels a text, 0 or 1 for each,
    `"micro_f1"` (of all labels of all rows), `"macro_f1"` (the mean of the F1
    of every label that a row has or gets) and `"subset_accuracy"` (the share
    of rows with exactly their labels) compare the sets.

    Where a definition divides by zero the score is 0.0: F1 without a positive
    label or prediction, Matthews, Pearson or Spearman when the labels or the
    predictions are all the same, and R² when the labels are. (scipy gives NaN
    for two of these, which JSON cannot hold; a constant prediction says
    nothing about the labels.)

    Args:
        names: sequence of str. The metrics to compute.
        labels: array of shape `(rows,)`. Class indices (integers), or numbers
            for a regression task; of several labels a text `(rows, labels)`,
            0 or 1.
        predictions: array. As `labels`.

    Returns:
        dict of metric name to score, in the order of `names`. Accuracy and F1
        lie in 0 … 1, the correlations in -1 … 1, R² below 1; the errors are
        0 or more, and better when smaller.

    Raises:
        ArgumentError: an unknown metric, arrays that are empty, of another
            shape, of different lengths or not finite, or values that are no
            class indices, or neither 0 nor 1, where a metric needs them.

    Reference:
        Wang et al. 2019, GLUE: A Multi-Task Benchmark and Analysis Platform
        for Natural Language Understanding, section 3.
    """
    labels = np.asarray(labels)
    metrics, checked = _METRICS, _checked
    if labels.ndim == 2:
        metrics, checked = LABEL_METRICS, _checked_sets
    for name in names:
        if name not in _METRICS | LABEL_METRICS:
            raise ArgumentError(
                f"names: unknown metric {name!r}; expected one of "
                f"{', '.join(_METRICS | LABEL_METRICS)}"
            )
        if name not in metrics:
            shape = "(rows, labels)" if name in LABEL_METRICS else "(rows,)"
            raise ArgumentError(
                f"labels: received an array of shape {labels.shape}; expected "
                f"{shape} for {name}"
            )
    labels = checked("labels", labels)
    predictions = checked("predictions", predictions)
    if len(labels) != len(predictions):
        raise ArgumentError(
            f"predictions: received {len(predictions)} rows for "
            f"{len(labels)} labels; expected one prediction a label"
        )
    if labels.shape != predictions.shape:
        raise ArgumentError(
            f"predictions: received {predictions.shape[1]} labels a row; "
            f"expected {labels.shape[1]}"
        )
    return {name: float(metrics[name](labels, predictions)) for name in names}


def _checked_sets(argument: str, values: np.ndarray) -> np.ndarray:
    return check_label_sets(argument, np.asarray(values))


def _checked(argument: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.size == 0:
        raise ArgumentError(
            f"{argument}: received an array of shape {values.shape}; expected "
            "(rows,) with at least one row"
        )
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{argument}: received values of type {values.dtype}; expected "
            "numbers"
        ) from None
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ArgumentError(
            f"{argument}: row {row} is {values[row]}; expected a finite number"
        )
    return values


def _check_classes(
    metric: str, labels: np.ndarray, predictions: np.ndarray, binary: bool
) -> None:
    expected = "the classes 0 and 1" if binary else "class indices from 0"
    for argument, values in (("labels", labels), ("predictions", predictions)):
        if values.dtype.kind != "i":
            raise ArgumentError(
                f"{argument}: received {values.dtype} values for {metric}; "
                f"expected {expected}, as integers"
            )
        wrong = (values < 0) | (values > 1) if binary else values < 0
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ArgumentError(
                f"{argument}: row {row} is {values[row]} for {metric}; "
                f"expected {expected}"
            )


def _accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    _check_classes("accuracy", labels, predictions, binary=False)
    return float(np.mean(labels == predictions))


def _f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    _check_classes("f1", labels, predictions, binary=True)
    either = int(labels.sum() + predictions.sum())
    return 2 * int((labels & predictions).sum()) / either if either else 0.0


def _macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    _check_classes("macro_f1", labels, predictions, binary=False)
    right, labelled, predicted = _class_counts(labels, predictions)
    either = labelled + predicted
    return float(np.mean(2 * right[either > 0] / either[either > 0]))


def _matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
    _check_classes("matthews", labels, predictions, binary=False)
    if _constant(labels) or _constant(predictions):
        return 0.0
    right, labelled, predicted = (
        counts.astype(np.float64)
        for counts in _class_counts(labels, predictions)
    )
    rows = float(len(labels))
    # Of any number of classes: Gorodkin 2004, in the counts of the classes.
    spread = [rows**2 - counts @ counts for counts in (labelled, predicted)]
    together = right.sum() * rows - labelled @ predicted
    return float(together / np.sqrt(spread[0] * spread[1]))


def _class_counts(
    labels: np.ndarray, predictions: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Rows of each class: right, labelled so, predicted so."""
    size = int(max(labels.max(), predictions.max())) + 1
    return (
        np.bincount(labels[labels == predictions], minlength=size),
        np.bincount(labels, minlength=size),
        np.bincount(predictions, minlength=size),
    )


def _pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    if _constant(labels) or _constant(predictions):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.NearConstantInputWarning)
        # In float64: scipy sums in the type it gets, and predictions that
        # hardly differ are lost in float32.
        return scipy.stats.pearsonr(
            labels.astype(np.float64), predictions.astype(np.float64)
        ).statistic


def _spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    if _constant(labels) or _constant(predictions):
        return 0.0
    return scipy.stats.spearmanr(labels, predictions).statistic


def _r2(labels: np.ndarray, predictions: np.ndarray) -> float:
    if _constant(labels):
        return 0.0
    labels = labels.astype(np.float64)
    squares = np.sum((labels - predictions) ** 2)
    return float(1 - squares / np.sum((labels - labels.mean()) ** 2))


def _mae(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(np.mean(np.abs(labels.astype(np.float64) - predictions)))


def _rmse(labels: np.ndarray, predictions: np.ndarray) -> float:
    errors = labels.astype(np.float64) - predictions
    return float(np.sqrt(np.mean(errors**2)))


def _constant(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


_METRICS = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
    "r2": _r2,
    "mae": _mae,
    "rmse": _rmse,
}
