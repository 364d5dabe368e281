"""Classes: their names from training rows, and each row's index."""

from collections.abc import Mapping, Sequence

import numpy as np

from bvkeras.data.tables.columns import listed
from bvkeras.data.tables.label_cells import as_number, class_name, in_order
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.errors import DataError

UNSEEN = "rows with a label that training never saw"

_MOST_UNSEEN = 0.1


def row_classes(rows: TableRows, column: str) -> list[str]:
    """The name of each row's class.

    Raises:
        DataError: a cell is no name and no number.
    """
    names = []
    for index, cell in enumerate(rows.labels):
        try:
            names.append(class_name(cell))
        except ValueError as error:
            raise DataError(f"{rows.where(index)}: {column} {error}") from None
    return names


def learn_classes(rows: TableRows, column: str) -> tuple[str, ...]:
    """Names of the classes that training rows have, sorted.

    Args:
        rows: `TableRows` of training.
        column: str. Name of the label column.

    Raises:
        DataError: the labels are numbers with a fraction, all the same, or
            all different.
    """
    numbers = [as_number(cell) for cell in rows.labels]
    if None not in numbers:
        for index, number in enumerate(numbers):
            if number is not None and not number.is_integer():
                raise DataError(
                    f"{rows.where(index)}: {column} is {rows.labels[index]}, "
                    "expected a class (a name or a whole number); numbers "
                    "with a fraction are scores (kind regression)"
                )
    found = row_classes(rows, column)
    names = in_order(found)
    if len(names) == 1:
        raise DataError(
            f"{rows.where(0)}: {column} is {names[0]!r} in every row, "
            "expected two classes or more"
        )
    if len(names) == len(rows):
        raise DataError(
            f"{rows.where(0)}: {column} is {found[0]!r}, and different in "
            f"each of {len(rows)} rows; expected classes that come again: is "
            f"{column!r} the label column?"
        )
    return names


def class_indices(
    rows: TableRows, column: str, names: Sequence[str]
) -> np.ndarray:
    """The index of each row's class among the names, int64 `(n,)`.

    Raises:
        DataError: a class is none of the names.
    """
    places = {name: place for place, name in enumerate(names)}
    found = row_classes(rows, column)
    for index, name in enumerate(found):
        if name not in places:
            raise DataError(
                f"{rows.where(index)}: {column} is {name!r}, expected one of "
                f"{listed(names)}"
            )
    return np.array([places[name] for name in found], dtype=np.int64)


def unseen_classes(
    rows: TableRows, column: str, names: Sequence[str]
) -> dict[int, str]:
    """Rows whose class training never saw, with the class."""
    known = set(names)
    return {
        row: name
        for row, name in enumerate(row_classes(rows, column))
        if name not in known
    }


def drop_unseen_rows(
    rows: TableRows,
    column: str,
    names: Sequence[str],
    unseen: Mapping[int, str],
) -> TableRows:
    """Validation rows without those whose label training never saw.

    A model cannot give a label it never saw. A few such rows are dropped and
    counted; many mean that the files do not fit together.

    Args:
        rows: `TableRows` of validation.
        column: str. Name of the label column.
        names: sequence of str. What training has.
        unseen: mapping of row to a label it has and training has not.

    Raises:
        DataError: more than a tenth of the rows are such.
    """
    if unseen:
        first = min(unseen)
        check_unseen(
            f"{rows.where(first)}: {column} is {unseen[first]!r}",
            len(unseen),
            len(rows),
            names,
        )
    return rows.drop(UNSEEN, sorted(unseen)) if unseen else rows


def check_unseen(
    first: str, num_unseen: int, num_rows: int, names: Sequence[str]
) -> None:
    """Refuses validation rows of which many have labels never seen.

    Args:
        first: str. Where the first is, and its label.
        num_unseen: int. Rows with such a label.
        num_rows: int. Rows in all.
        names: sequence of str. What training has.

    Raises:
        DataError: more than a tenth are such.
    """
    if num_unseen > _MOST_UNSEEN * num_rows:
        raise DataError(
            f"{first}, which no training row has, as in {num_unseen} of "
            f"{num_rows} rows; expected one of {listed(names)}"
        )
