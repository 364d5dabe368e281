"""What a system gets right and wrong of several labels a text."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from bvkeras.evaluation.label_metrics import LabelCounts, macro_f1, micro_f1
from bvkeras.evaluation.outcomes import Outcomes
from bvkeras.tasks.label_sets import split_labels


@dataclasses.dataclass(frozen=True)
class LabelErrors:
    """What one system gets right and wrong, label by label.

    Attributes:
        name: str.
        accuracy: float. Share of the rows with exactly their labels.
        micro_f1: float.
        macro_f1: float.
        by_label: dict of label to a dict: `rows` that have it, `predicted`
            rows that get it, `precision`, `recall`, `f1` (each `None` where
            it would divide by zero).
        only_class: str, or None. The labels that all rows get, if they are
            the same.
        words_right: list of float. As of `ClassErrors`.
        words_wrong: list of float. As of `ClassErrors`.
    """

    name: str
    accuracy: float
    micro_f1: float
    macro_f1: float
    by_label: dict[str, dict[str, float | None]]
    only_class: str | None
    words_right: list[float | None]
    words_wrong: list[float | None]


def label_names(*cells: Iterable[str]) -> list[str]:
    """All labels that joined names have, sorted."""
    return sorted(
        {name for one in cells for cell in one for name in split_labels(cell)}
    )


def label_errors(
    name: str,
    outcomes: Outcomes,
    names: Sequence[str],
    words_right: list[float | None],
    words_wrong: list[float | None],
) -> LabelErrors:
    """A system's errors.

    Args:
        name: str. The system's.
        outcomes: Outcomes of several labels a text.
        names: sequence of str. All labels.
        words_right: list of float. As the attribute.
        words_wrong: list of float. As the attribute.
    """
    labels, predictions = (
        _matrix(cells, names)
        for cells in (outcomes.labels, outcomes.predictions)
    )
    predicted = np.unique(outcomes.predictions)
    return LabelErrors(
        name=name,
        accuracy=float((outcomes.labels == outcomes.predictions).mean()),
        micro_f1=micro_f1(labels, predictions),
        macro_f1=macro_f1(labels, predictions),
        by_label=by_label(LabelCounts.of(labels, predictions), names),
        only_class=str(predicted[0]) if len(predicted) == 1 else None,
        words_right=words_right,
        words_wrong=words_wrong,
    )


def by_label(
    counts: LabelCounts, names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Counts and shares of each label, as `LabelErrors.by_label`.

    Args:
        counts: LabelCounts.
        names: sequence of str. Names of its labels.
    """
    shares = (counts.precision, counts.recall, counts.f1)
    return {
        str(name): {
            "rows": int(counts.labelled[place]),
            "predicted": int(counts.predicted[place]),
            **{
                key: None if np.isnan(values[place]) else float(values[place])
                for key, values in zip(
                    ("precision", "recall", "f1"), shares, strict=True
                )
            },
        }
        for place, name in enumerate(names)
    }


def _matrix(cells, names):
    places = {name: place for place, name in enumerate(names)}
    matrix = np.zeros((len(cells), len(names)), bool)
    for row, cell in enumerate(cells):
        for name in split_labels(cell):
            matrix[row, places[name]] = True
    return matrix
