"""Metrics of several labels a text, with every odd case decided."""

import dataclasses

import numpy as np

from bvkeras.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """How often each label is right, missed, or given to other rows.

    Attributes:
        both: int array `(labels,)`. Rows that have the label and get it.
        labelled: int array `(labels,)`. Rows that have it.
        predicted: int array `(labels,)`. Rows that get it.
    """

    both: np.ndarray
    labelled: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, predictions: np.ndarray) -> "LabelCounts":
        """Counts over rows.

        Args:
            labels: array `(rows, labels)` of 0 and 1.
            predictions: array. As `labels`.
        """
        labels, predictions = labels != 0, predictions != 0
        return cls(
            (labels & predictions).sum(axis=0),
            labels.sum(axis=0),
            predictions.sum(axis=0),
        )

    @property
    def precision(self) -> np.ndarray:
        """Share of the rows that get a label and have it; NaN of none."""
        return _shares(self.both, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Share of the rows that have a label and get it; NaN of none."""
        return _shares(self.both, self.labelled)

    @property
    def f1(self) -> np.ndarray:
        """Each label's F1; NaN of one that no row has or gets."""
        return _shares(2 * self.both, self.labelled + self.predicted)


def check_label_sets(argument: str, values: np.ndarray) -> np.ndarray:
    """Labels of rows as bools.

    Args:
        argument: str. Its name, for messages.
        values: array `(rows, labels)`.

    Raises:
        ArgumentError: there is no row or no label, or a value is neither 0
            nor 1.
    """
    if values.ndim != 2 or values.size == 0:
        raise ArgumentError(
            f"{argument}: received an array of shape {values.shape}; expected "
            "(rows, labels) with at least one of both"
        )
    fits = (values == 0) | (values == 1)
    if not fits.all():
        row, label = np.argwhere(~fits)[0]
        raise ArgumentError(
            f"{argument}: row {row}, label {label} is {values[row, label]}; "
            "expected 0 or 1"
        )
    return values != 0


def micro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """F1 of all labels of all rows together; 0.0 where there are none."""
    counts = LabelCounts.of(labels, predictions)
    either = int(counts.labelled.sum() + counts.predicted.sum())
    return 2 * int(counts.both.sum()) / either if either else 0.0


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean F1 of the labels that some row has or gets; 0.0 of none."""
    scores = LabelCounts.of(labels, predictions).f1
    known = ~np.isnan(scores)
    return float(scores[known].mean()) if known.any() else 0.0


def subset_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Share of the rows that get exactly the labels they have."""
    return float((labels == predictions).all(axis=1).mean())


LABEL_METRICS = {
    "micro_f1": micro_f1,
    "macro_f1": macro_f1,
    "subset_accuracy": subset_accuracy,
}


def _shares(counts, totals):
    with np.errstate(invalid="ignore"):
        return np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)
