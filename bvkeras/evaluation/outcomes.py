"""What a system predicted, from a table that anybody may have written."""

import csv
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from bvkeras.errors import DataError
from bvkeras.evaluation.predictions import LABEL_SCORE
from bvkeras.tasks.kind import LABEL_SEPARATOR
from bvkeras.tasks.label_sets import split_labels

COLUMNS = ("index", "prediction", "label")


@dataclasses.dataclass(frozen=True, eq=False)
class Outcomes:
    """A system's predictions and the labels, one of each a row.

    Args:
        path: str. The file, for messages.
        ids: tuple of n str. One for each row, no two alike.
        predictions: array `(n,)` of str: names of classes; or of float64. Of
            several labels a text their names, sorted, with `|` between.
        labels: array `(n,)`. As `predictions`.
        several_labels: bool. Whether there are such. Defaults to `False`.
    """

    path: str
    ids: tuple[str, ...]
    predictions: np.ndarray
    labels: np.ndarray
    several_labels: bool = False

    @property
    def is_regression(self) -> bool:
        """Whether predictions are numbers and not classes."""
        return self.labels.dtype.kind == "f"

    def __len__(self) -> int:
        return len(self.ids)

    def in_order_of(self, other: "Outcomes") -> "Outcomes":
        """The same rows in another table's order.

        Args:
            other: Outcomes. Of the same examples.

        Raises:
            DataError: the two are not of the same examples, or do not agree
                on a label; names the first such row.
        """
        places = {name: place for place, name in enumerate(self.ids)}
        for one, two, names in (
            (self, other, set(other.ids) - set(self.ids)),
            (other, self, set(self.ids) - set(other.ids)),
        ):
            if names:
                raise DataError(
                    f"{one.path}: has no row {min(names)!r} and {len(names)} "
                    f"rows less than {two.path}; expected the same examples"
                )
        order = [places[name] for name in other.ids]
        ordered = dataclasses.replace(
            self,
            ids=other.ids,
            predictions=self.predictions[order],
            labels=self.labels[order],
        )
        if self.is_regression != other.is_regression:
            raise DataError(
                f"{self.path}: only one of it and {other.path} has numbers; "
                "expected two of a kind"
            )
        if self.several_labels != other.several_labels:
            raise DataError(
                f"{self.path}: only one of it and {other.path} has several "
                "labels a row; expected two of a kind"
            )
        (differ,) = np.nonzero(ordered.labels != other.labels)
        if differ.size:
            row = differ[0]
            raise DataError(
                f"{self.path}, row {other.ids[row]!r}: its label is "
                f"{ordered.labels[row]}, in {other.path} it is "
                f"{other.labels[row]}"
            )
        return ordered


def read_outcomes(
    path: str | os.PathLike,
    columns: Mapping[str, str] | None = None,
    regression: bool | None = None,
    several_labels: bool | None = None,
) -> Outcomes:
    """Reads a table of predictions.

    Args:
        path: str or path. UTF-8, with or without a byte-order mark, with a
            line of column names. Comma-separated
            if the name ends in `.csv`, with quotes; otherwise tab-separated,
            without.
        columns: dict. What the columns `index`, `prediction` and `label` are
            called in the file. Defaults to those names.
        regression: bool. Whether predictions are numbers. Defaults to whether
            there is a column `score`, which predictions files of bvkeras
            have for regression only.
        several_labels: bool. Whether a prediction is any number of names with
            `|` between. Defaults to whether there is a column
            `probability_…`, which predictions files of bvkeras have for
            several labels only.

    Returns:
        Outcomes.

    Raises:
        DataError: the file is no such table; names the line.
        OSError: the file cannot be read.
    """
    names = {name: name for name in COLUMNS} | dict(columns or {})
    rows, header = read_table(path)
    for name in names.values():
        if name not in header:
            raise DataError(
                f"{path}, line 1: has no column {name!r}; it has "
                f"{', '.join(header)}"
            )
    if regression is None:
        regression = "score" in header
    if several_labels is None:
        several_labels = any(name.startswith(LABEL_SCORE) for name in header)
    ids, values = [], []
    for line, row in rows:
        ids.append(row[header.index(names["index"])])
        cells = [row[header.index(names[name])] for name in COLUMNS[1:]]
        if regression:
            cells = [_number(path, line, cell) for cell in cells]
        elif several_labels:
            cells = [sorted_labels(cell) for cell in cells]
        values.append(cells)
    if not ids:
        raise DataError(f"{path}: has no rows")
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"{path}: two rows have the {names['index']} {twice!r}")
    table = np.array(values, np.float64 if regression else str)
    return Outcomes(
        os.fspath(path), tuple(ids), table[:, 0], table[:, 1], several_labels
    )


def sorted_labels(cell: str) -> str:
    """Names of several labels, in the order in which two are compared."""
    return LABEL_SEPARATOR.join(sorted(set(split_labels(cell))))


def read_table(
    path: str | os.PathLike,
) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The rows of a table with their line numbers, and its column names.

    Args:
        path: str or path. As `read_outcomes`.

    Raises:
        DataError: a row has more or fewer cells than there are columns, or
            the file is not UTF-8 or not CSV; names the line.
        OSError: the file cannot be read.
    """
    form: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    if os.fspath(path).endswith(".csv"):
        form = {"strict": True}
    rows: list[tuple[int, list[str]]] = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, **form)
        try:
            header = next(reader, [])
            for row in reader:
                if row and len(row) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: has {len(row)} "
                        f"cells, expected {len(header)}"
                    )
                if row:
                    rows.append((reader.line_num, row))
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: {error}"
            ) from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is not UTF-8 ({error.reason})") from None
    return rows, header


def _number(path, line, cell):
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(
            f"{path}, line {line}: received {cell!r}, expected a number"
        )
    return value
