"""A task's labels out of its rows, by the kind of the task."""

from collections.abc import Sequence

import numpy as np

from bvkeras.data.tables.class_labels import class_indices, drop_unseen
from bvkeras.data.tables.held_out import score_classes
from bvkeras.data.tables.label_sets import (
    drop_unseen_labels,
    label_matrix,
    rarest_labels,
)
from bvkeras.data.tables.score_labels import row_scores
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.tasks.kind import Kind

# Of these a task can be made.
TRAINABLE = (Kind.CLASSES, Kind.LABELS, Kind.SCORE)


def keeps_unlabelled(kind: Kind, columns: Sequence[str]) -> bool:
    """Whether an empty cell says something: that a text has no label.

    Of columns of 0 and 1 it does not.
    """
    return kind is Kind.LABELS and len(columns) == 1


def task_labels(
    rows: TableRows,
    kind: Kind,
    columns: Sequence[str],
    names: Sequence[str] | None,
) -> np.ndarray:
    """Labels as `Kind` says, one a row.

    Args:
        rows: `TableRows`.
        kind: Kind. One of `TRAINABLE`.
        columns: sequence of str. The label columns.
        names: sequence of str, or None. Of classes and labels.

    Raises:
        DataError: a label is none of the task's.
    """
    if kind is Kind.SCORE:
        return row_scores(rows, columns[0])
    if kind is Kind.LABELS:
        return label_matrix(rows, columns, names)
    return class_indices(rows, columns[0], names)


def held_out_classes(kind: Kind, labels: np.ndarray) -> np.ndarray:
    """What a share of each of is held out, int64 `(n,)`."""
    if kind is Kind.SCORE:
        return score_classes(labels)
    return rarest_labels(labels) if kind is Kind.LABELS else labels


def without_unseen(
    rows: TableRows,
    kind: Kind,
    columns: Sequence[str],
    names: Sequence[str] | None,
) -> TableRows:
    """Validation rows without those whose label training never saw.

    Raises:
        DataError: more than a tenth of the rows are such.
    """
    if kind is Kind.SCORE:
        return rows
    if kind is Kind.LABELS:
        return drop_unseen_labels(rows, columns, names)
    return drop_unseen(rows, columns[0], names)
