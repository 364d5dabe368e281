"""Scores of a regression task."""

import math

import numpy as np

from bvkeras.data.tables.label_cells import as_number
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.errors import DataError

_LARGEST = float(np.finfo(np.float32).max)


def row_scores(rows: TableRows, column: str) -> np.ndarray:
    """The score of each row, float32 of shape `(n,)`.

    Args:
        rows: `TableRows`.
        column: str. Name of the label column.

    Raises:
        DataError: a label is no finite number of float32's range.
    """
    scores = np.zeros(len(rows), dtype=np.float32)
    for index, cell in enumerate(rows.labels):
        number = as_number(cell)
        if number is None or not abs(number) <= _LARGEST:
            raise DataError(
                f"{rows.where(index)}: {column} is {cell!r}, expected a "
                f"number{_hint(cell, number)}"
            )
        scores[index] = number
    return scores


def score_range(
    rows: TableRows, column: str, scores: np.ndarray
) -> tuple[float, float]:
    """Lowest and highest score of training rows.

    Raises:
        DataError: all scores are the same.
    """
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        raise DataError(
            f"{rows.where(0)}: {column} is {low:g} in every row, expected "
            "scores that differ"
        )
    return low, high


def _hint(cell, number):
    if number is not None and math.isinf(number):
        return " that is finite"
    if isinstance(cell, str) and as_number(cell.replace(",", ".")) is not None:
        return " with a decimal point"
    return "; words are classes (kind classification)"
