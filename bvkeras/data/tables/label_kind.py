"""Finds out from the label cells what kind of task they are for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from bvkeras.data.tables.label_cells import as_number

KINDS = ("classification", "regression", "multilabel", "tokens")

_MOST_NUMBERED_CLASSES = 20


@dataclasses.dataclass(frozen=True)
class LabelKind:
    """A kind of task, and how it is known.

    Args:
        kind: str. One of `KINDS`.
        reason: str. `"given"`, or what it was inferred from.
    """

    kind: str
    reason: str = "given"


def infer_kind(cells: Sequence[Any]) -> LabelKind:
    """The kind of task that label cells are for.

    Lists, JSON lists and several columns are several labels a text. Words and
    a few whole numbers are classes, other numbers are scores.

    Args:
        cells: sequence of label cells, none of them missing.
    """
    if any(
        isinstance(cell, (list, tuple))
        or (isinstance(cell, str) and _is_list(cell))
        for cell in cells
    ):
        return LabelKind("multilabel", "lists of labels")
    distinct = set()
    for cell in cells:
        number = as_number(cell)
        if number is None:
            return LabelKind("classification", "labels that are words")
        distinct.add(number)
    if all(number.is_integer() for number in distinct):
        if len(distinct) <= _MOST_NUMBERED_CLASSES:
            return LabelKind(
                "classification", f"{len(distinct)} different whole numbers"
            )
        return LabelKind(
            "regression", f"{len(distinct)} different whole numbers"
        )
    return LabelKind("regression", "numbers with a fraction")


def _is_list(text):
    text = text.strip()
    return text.startswith("[") and text.endswith("]")
