"""Several labels a text: lists, separated names, or columns of 0 and 1."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from bvkeras.data.tables.label_cells import (
    as_number,
    class_name,
    in_order,
    is_missing,
)
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.errors import DataError


@dataclasses.dataclass(frozen=True)
class LabelLists:
    """The labels of each row.

    Args:
        names: tuple of str. All labels, sorted; of columns in their order.
        labels: tuple of n tuples of str. Each row's labels, in that order;
            a row may have none.
    """

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]


def row_label_lists(
    rows: TableRows, columns: Sequence[str], separator: str = "|"
) -> LabelLists:
    """The labels of each row.

    Args:
        rows: `TableRows`, read with unlabelled rows.
        columns: sequence of str. One column of lists, of JSON lists or of
            names with a separator between; or several columns of 0 and 1.
        separator: str. Between the names. Defaults to `"|"`.

    Raises:
        DataError: a cell is none of these, or there is no label at all.
    """
    if len(columns) > 1:
        return _of_columns(rows, tuple(columns))
    found = []
    for index, cell in enumerate(rows.labels):
        try:
            found.append(
                {class_name(label) for label in _list(cell, separator)}
            )
        except ValueError as error:
            raise DataError(
                f"{rows.where(index)}: {columns[0]} {error}"
            ) from None
    names = in_order(name for row in found for name in row)
    if not names:
        raise DataError(
            f"{rows.where(0)}: {columns[0]} is empty in every row, expected "
            "labels"
        )
    places = {name: place for place, name in enumerate(names)}
    return LabelLists(
        names,
        tuple(tuple(sorted(row, key=places.__getitem__)) for row in found),
    )


def _list(cell: Any, separator: str) -> list[Any]:
    if isinstance(cell, list):
        labels = cell
    elif is_missing(cell):
        return []
    elif isinstance(cell, str) and cell.strip().startswith("["):
        try:
            labels = json.loads(cell)
        except ValueError as error:
            raise ValueError(
                f"is {cell!r}, expected a JSON list ({error})"
            ) from None
    else:
        labels = class_name(cell).split(separator)
    if any(is_missing(label) for label in labels):
        raise ValueError(f"is {cell!r}, expected no empty label in it")
    return labels


def _of_columns(rows, columns):
    found = []
    for index, cells in enumerate(rows.labels):
        labels = []
        for name, cell in zip(columns, cells, strict=True):
            number = float(cell) if isinstance(cell, bool) else as_number(cell)
            if number not in (0, 1):
                raise DataError(
                    f"{rows.where(index)}: {name} is {cell!r}, expected 0 or 1"
                )
            if number:
                labels.append(name)
        found.append(tuple(labels))
    return LabelLists(columns, tuple(found))
