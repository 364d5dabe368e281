"""Several labels a text: their names from training rows, and each row's."""

from collections.abc import Sequence

import numpy as np

from bvkeras.data.tables.columns import listed
from bvkeras.data.tables.label_lists import row_label_lists
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.errors import DataError
from bvkeras.tasks.kind import LABEL_SEPARATOR


def learn_labels(rows: TableRows, columns: Sequence[str]) -> tuple[str, ...]:
    """Names of the labels that training rows have, sorted; or the columns.

    Args:
        rows: `TableRows` of training, read with unlabelled rows.
        columns: sequence of str. As `row_label_lists`.

    Raises:
        DataError: a cell is no list of labels, a name has `|` in it, every
            row has the same labels, or no label comes again.
    """
    found = row_label_lists(rows, columns)
    for name in found.names:
        if LABEL_SEPARATOR in name or name != name.strip():
            row = next(
                (i for i, row in enumerate(found.labels) if name in row), 0
            )
            raise DataError(
                f"{rows.where(row)}: {columns[0]} has the label {name!r}, "
                f"expected names without {LABEL_SEPARATOR!r}, which stands "
                "between labels, and without blanks around them"
            )
    if len(set(found.labels)) == 1:
        raise DataError(
            f"{rows.where(0)}: {', '.join(columns)} says "
            f"{listed(found.labels[0]) or 'no label'} in every row, expected "
            "labels that differ"
        )
    if len(rows) > 2 and len(found.names) == sum(map(len, found.labels)):
        raise DataError(
            f"{rows.where(0)}: {columns[0]} has {len(found.names)} labels in "
            f"{len(rows)} rows and none in two of them; expected labels that "
            f"come again: is {columns[0]!r} the label column?"
        )
    return found.names


def label_matrix(
    rows: TableRows, columns: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """The labels of each row, float32 `(n, labels)`, 0 and 1.

    Args:
        rows: `TableRows`.
        columns: sequence of str. As `row_label_lists`.
        names: sequence of str. All labels.

    Raises:
        DataError: a label is none of the names.
    """
    places = {name: place for place, name in enumerate(names)}
    matrix = np.zeros((len(rows), len(names)), np.float32)
    for row, labels in enumerate(row_label_lists(rows, columns).labels):
        for name in labels:
            if name not in places:
                raise DataError(
                    f"{rows.where(row)}: {columns[0]} has {name!r}, expected "
                    f"some of {listed(names)}"
                )
            matrix[row, places[name]] = 1
    return matrix


def unseen_labels(
    rows: TableRows, columns: Sequence[str], names: Sequence[str]
) -> dict[int, str]:
    """Rows with a label that training never saw, with the first such."""
    known = set(names)
    unseen: dict[int, str] = {}
    for row, labels in enumerate(row_label_lists(rows, columns).labels):
        for name in labels:
            if name not in known:
                unseen.setdefault(row, name)
    return unseen


def rarest_labels(labels: np.ndarray) -> np.ndarray:
    """The rarest label of each row, of which a share is held out.

    Args:
        labels: array `(n, labels)` of 0 and 1.

    Returns:
        int64 array `(n,)`: the label's place, or the number of labels for
        rows without any.
    """
    counts = labels.sum(axis=0)
    # After every label: what a row without any has.
    ranks = np.where(labels != 0, counts, np.inf)
    rarest = ranks.argmin(axis=1)
    return np.where(labels.any(axis=1), rarest, labels.shape[1])
