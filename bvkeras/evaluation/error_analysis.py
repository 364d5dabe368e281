"""Where two systems err: alone, together, and how surely they differ."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
import sklearn.metrics

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.label_errors import (
    LabelErrors,
    label_errors,
    label_names,
)
from bvkeras.evaluation.outcomes import Outcomes
from bvkeras.evaluation.word_counts import count_words

# Of a normal distribution, 95% lie within so many deviations.
_NORMAL_95 = scipy.stats.norm.ppf(0.975)
_BINS = 5


@dataclasses.dataclass(frozen=True)
class ClassErrors:
    """What one classifier gets right and wrong.

    Attributes:
        name: str.
        accuracy: float.
        predicted_share: dict of class to the share of rows it is predicted
            for.
        recall: dict of class to the share of its rows that are predicted so;
            `None` for a class no row has.
        confusion: list of lists of int. Rows of each label, columns of each
            prediction, both in the order of `ErrorAnalysis.classes`.
        words_right: list of float. Mean words of each text over the rows
            predicted correctly; empty without texts, `None` without such
            rows.
        words_wrong: list of float. The same over the others.
    """

    name: str
    accuracy: float
    predicted_share: dict[str, float]
    recall: dict[str, float | None]
    confusion: list[list[int]]
    words_right: list[float | None]
    words_wrong: list[float | None]

    @property
    def only_class(self) -> str | None:
        """The class that is predicted for all rows, if one is."""
        shares = self.predicted_share
        return next((name for name in shares if shares[name] == 1), None)


@dataclasses.dataclass(frozen=True)
class ScoreErrors:
    """How far one system's numbers are from the labels.

    Attributes:
        name: str.
        pearson: float. 0 where either is the same for all rows.
        mean_error: float. Mean of prediction - label.
        mean_absolute_error: float.
        root_mean_squared_error: float.
        by_label: list of dicts, for five parts of the labels' range: `low`,
            `high`, `rows`, `mean_error`, `mean_absolute_error` (the last two
            `None` without rows).
    """

    name: str
    pearson: float
    mean_error: float
    mean_absolute_error: float
    root_mean_squared_error: float
    by_label: list[dict[str, float | None]]


@dataclasses.dataclass(frozen=True)
class ErrorAnalysis:
    """Two systems on the same examples.

    Attributes:
        rows: int.
        classes: list of str, of several labels a text the labels; empty for
            regression.
        systems: list of two `ClassErrors`, two `LabelErrors`, or two
            `ScoreErrors`.
        pair: dict. Of classifiers, where all labels of a row must be right
            if there are several, `agreement` (share of rows with the same
            prediction), `both_right`, `only_first`, `only_second`,
            `both_wrong` (rows), `overlap` (both right, share of all rows),
            `difference` (accuracy, second - first), `interval` (95%, paired),
            `p_value` (McNemar's test, exact). Of regressors `correlation` of
            the errors, `second_closer` (share of rows), `difference` (mean
            absolute error, second - first), `interval` (95%, paired),
            `p_value` (Wilcoxon's signed-rank test of the absolute errors).

    Reference:
        McNemar 1947, "Note on the sampling error of the difference between
        correlated proportions or percentages"; Wilcoxon 1945, "Individual
        comparisons by ranking methods"; for what is compared, section 5.1 of
        the BERT-Vision paper.
    """

    rows: int
    classes: list[str]
    systems: list[ClassErrors] | list[LabelErrors] | list[ScoreErrors]
    pair: dict[str, Any]


def analyze_errors(
    first: Outcomes,
    second: Outcomes,
    names: Sequence[str] = ("first", "second"),
    texts: Sequence[Sequence[str]] | None = None,
    words: str = "tokens",
) -> ErrorAnalysis:
    """Compares two systems' predictions row by row.

    Args:
        first: Outcomes.
        second: Outcomes. Of the same examples, in any order.
        names: sequence of two str.
        texts: sequence of one or two sequences of str. The texts of the rows
            of `first`, in their order. Defaults to none.
        words: str. How words are counted, as
            `bvkeras.evaluation.word_counts.count_words`. Defaults to
            `"tokens"`.

    Returns:
        ErrorAnalysis.

    Raises:
        ArgumentError: texts that are not one for each row, or words that
            cannot be counted so.
        DataError: the two are not of the same examples.
    """
    second = second.in_order_of(first)
    for column in texts or ():
        if len(column) != len(first):
            raise ArgumentError(
                f"texts: received {len(column)}, expected one for each of "
                f"{len(first)} rows"
            )
    if first.is_regression:
        return _analyze_scores(first, second, names)
    counts = [count_words(column, words) for column in texts or ()]
    if first.several_labels:
        return _analyze_labels(first, second, names, counts)
    classes = sorted(
        {*first.labels, *first.predictions, *second.predictions}, key=str
    )
    return ErrorAnalysis(
        rows=len(first),
        classes=[str(name) for name in classes],
        systems=[
            _class_errors(name, outcomes, classes, counts)
            for name, outcomes in zip(names, (first, second), strict=True)
        ],
        pair=_class_pair(first, second),
    )


def right_together(first: np.ndarray, second: np.ndarray) -> dict:
    """How often two systems are right together, alone, and not at all.

    Args:
        first: bool array `(rows,)`. Whether one system is right.
        second: bool array `(rows,)`. Whether the other is.

    Returns:
        dict of `both_right`, `only_first`, `only_second`, `both_wrong`
        (rows), `overlap` (both right, share of all rows) and `p_value`
        (McNemar's test, exact).
    """
    rows = len(first)
    both = int((first & second).sum())
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    # Where neither is right alone, nothing tells them apart.
    p_value = 1.0
    if only_first + only_second:
        p_value = float(
            scipy.stats.binomtest(only_first, only_first + only_second).pvalue
        )
    return {
        "both_right": both,
        "only_first": only_first,
        "only_second": only_second,
        "both_wrong": rows - both - only_first - only_second,
        "overlap": both / rows,
        "p_value": p_value,
    }


def differing_rows(
    first: Outcomes, second: Outcomes, count: int, seed: int = 0
) -> np.ndarray:
    """Rows on which two systems differ most, as positions in `first`.

    Of classifiers a random choice of the rows with different predictions; of
    regressors those whose predictions are farthest apart.

    Args:
        first: Outcomes.
        second: Outcomes. Of the same examples, in any order.
        count: int. At most so many rows.
        seed: int. Seed of the choice.

    Raises:
        ArgumentError: `count` is below 0.
        DataError: the two are not of the same examples.
    """
    if count < 0:
        raise ArgumentError(f"count: received {count}, expected at least 0")
    second = second.in_order_of(first)
    if first.is_regression:
        apart = np.abs(first.predictions - second.predictions)
        return np.argsort(-apart, kind="stable")[:count]
    (rows,) = np.nonzero(first.predictions != second.predictions)
    chosen = np.random.default_rng(seed).permutation(rows)[:count]
    return np.sort(chosen)


def _class_errors(name, outcomes, classes, words) -> ClassErrors:
    right = outcomes.predictions == outcomes.labels
    confusion = sklearn.metrics.confusion_matrix(
        outcomes.labels, outcomes.predictions, labels=classes
    )
    rows = confusion.sum(1)
    return ClassErrors(
        name=name,
        accuracy=float(right.mean()),
        predicted_share={
            str(label): float(share)
            for label, share in zip(
                classes, confusion.sum(0) / len(outcomes), strict=True
            )
        },
        recall={
            str(label): float(confusion[i, i] / rows[i]) if rows[i] else None
            for i, label in enumerate(classes)
        },
        confusion=confusion.tolist(),
        words_right=[_mean(column[right]) for column in words],
        words_wrong=[_mean(column[~right]) for column in words],
    )


def _analyze_labels(first, second, names, words) -> ErrorAnalysis:
    labels = label_names(first.labels, first.predictions, second.predictions)
    systems = []
    for name, outcomes in zip(names, (first, second), strict=True):
        right = outcomes.predictions == outcomes.labels
        systems.append(
            label_errors(
                name,
                outcomes,
                labels,
                [_mean(column[right]) for column in words],
                [_mean(column[~right]) for column in words],
            )
        )
    return ErrorAnalysis(
        rows=len(first),
        classes=labels,
        systems=systems,
        pair=_class_pair(first, second),
    )


def _class_pair(first: Outcomes, second: Outcomes) -> dict:
    together = right_together(
        *(x.predictions == x.labels for x in (first, second))
    )
    rows = len(first)
    only_first, only_second = together["only_first"], together["only_second"]
    difference = (only_second - only_first) / rows
    # Of a difference of two shares of the same rows.
    variance = (only_first + only_second) / rows - difference**2
    half = float(_NORMAL_95 * np.sqrt(variance / rows))
    return {
        "agreement": float((first.predictions == second.predictions).mean()),
        **together,
        "difference": difference,
        "interval": (difference - half, difference + half),
    }


def _analyze_scores(first, second, names) -> ErrorAnalysis:
    errors = [x.predictions - x.labels for x in (first, second)]
    absolute = [np.abs(error) for error in errors]
    change = absolute[1] - absolute[0]
    half = 0.0
    if len(change) > 1:
        half = float(_NORMAL_95 * scipy.stats.sem(change))
    difference = float(change.mean())
    p_value = 1.0
    if change.any():
        p_value = float(scipy.stats.wilcoxon(change).pvalue)
    return ErrorAnalysis(
        rows=len(first),
        classes=[],
        systems=[
            _score_errors(name, outcomes)
            for name, outcomes in zip(names, (first, second), strict=True)
        ],
        pair={
            "correlation": _correlation(*errors),
            "second_closer": float((change < 0).mean()),
            "difference": difference,
            "interval": (difference - half, difference + half),
            "p_value": p_value,
        },
    )


def _score_errors(name, outcomes) -> ScoreErrors:
    errors = outcomes.predictions - outcomes.labels
    edges = np.linspace(outcomes.labels.min(), outcomes.labels.max(), _BINS + 1)
    # The highest label belongs to the last part.
    parts = np.searchsorted(edges[1:-1], outcomes.labels, side="right")
    return ScoreErrors(
        name=name,
        pearson=_correlation(outcomes.predictions, outcomes.labels),
        mean_error=float(errors.mean()),
        mean_absolute_error=float(np.abs(errors).mean()),
        root_mean_squared_error=float(np.sqrt(np.square(errors).mean())),
        by_label=[
            {
                "low": float(edges[part]),
                "high": float(edges[part + 1]),
                "rows": int((parts == part).sum()),
                "mean_error": _mean(errors[parts == part]),
                "mean_absolute_error": _mean(np.abs(errors[parts == part])),
            }
            for part in range(_BINS)
        ],
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; 0 where it is not defined, as in GLUE's metrics here."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(scipy.stats.pearsonr(one, other).statistic)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
