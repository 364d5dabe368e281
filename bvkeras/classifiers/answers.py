"""Answers to questions out of what people keep them in."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bvkeras.classifiers import containers
from bvkeras.data.span_question import SpanAnswer, SpanQuestion
from bvkeras.data.squad_files import checked_question
from bvkeras.errors import ArgumentError

_TEXT = ("text", "answer_text", "answer")
_START = ("start", "answer_start")


def read_questions(
    texts: containers.Texts, y: Any, x: Any = None
) -> list[SpanQuestion]:
    """Questions with their answers, one a row.

    Args:
        texts: Texts. Questions and contexts.
        y: answers, one cell a row. A cell is what SQuAD has, `{"text": …,
            "answer_start": …}`, each one or a list of several; a list of such;
            a pair of text and start; a str, which stands once in the context;
            or None, an empty str or an empty list: no answer. Or the name of
            the table's column with such cells, a tuple of the names of two
            with texts and with starts, or a table of two such columns.
        x: the table that `texts` are of.

    Raises:
        ArgumentError: an answer is something else, or is not where it says;
            names the row.
    """
    cells = _cells(y, x)
    questions, contexts = texts.columns
    if len(cells) != len(questions):
        raise ArgumentError(
            f"y: expected {len(questions)} answers, one a question, got "
            f"{len(cells)}"
        )
    read = []
    for row, (question, context, cell) in enumerate(
        zip(questions, contexts, cells, strict=True)
    ):
        answers = [
            SpanAnswer(text, _place(text, start, context, row))
            for text, start in _several(cell, row)
        ]
        try:
            read.append(
                checked_question(str(row), "", question, context, answers, None)
            )
        except ValueError as error:
            raise ArgumentError(f"y: {error}") from None
    return read


def _cells(y: Any, x: Any) -> list:
    if isinstance(y, str):
        return _column(x, y)
    if containers.is_table(x) and _are_names(y):
        return list(zip(*(_column(x, name) for name in y), strict=True))
    if containers.is_table(y):
        names = containers.column_names(y)
        found = [
            [name for name in known if name in names]
            for known in (_TEXT, _START)
        ]
        if not all(found):
            raise ArgumentError(
                f"y: has the columns {', '.join(names)}, expected text and "
                "start"
            )
        return list(zip(*(_column(y, name) for name, *_ in found), strict=True))
    if isinstance(y, str | bytes) or not hasattr(y, "__iter__"):
        raise ArgumentError(
            f"y: expected answers, one a question, got {type(y).__name__}"
        )
    return list(y)


def _are_names(y: Any) -> bool:
    return (
        isinstance(y, tuple)
        and len(y) == 2
        and all(isinstance(name, str) for name in y)
    )


def _column(x: Any, name: str) -> list:
    if not containers.is_table(x):
        raise ArgumentError(
            f"y: got the column name {name!r}, and x is no table"
        )
    containers.require_column(x, name)
    return list(x[name])


def _several(cell: Any, row: int) -> list[tuple[str, int | None]]:
    """Texts and starts of a cell's answers; None where a start is unknown."""
    if _is_nothing(cell):
        return []
    if isinstance(cell, str):
        return [(cell, None)]
    if isinstance(cell, Mapping):
        return _of_mapping(cell, row)
    if (
        isinstance(cell, tuple)
        and len(cell) == 2
        and not isinstance(cell[0], Mapping | tuple)
    ):
        if _is_nothing(cell[0]):
            return []
        return [(_text(cell[0], row), _start(cell[1], row))]
    if isinstance(cell, Sequence | np.ndarray):
        return [answer for one in cell for answer in _several(one, row)]
    raise ArgumentError(
        f"y: row {row} is {cell!r:.40}, expected an answer's text and start, "
        "or None"
    )


def _of_mapping(cell: Mapping, row: int) -> list[tuple[str, int | None]]:
    texts: Any = next((cell[name] for name in _TEXT if name in cell), None)
    starts: Any = next((cell[name] for name in _START if name in cell), None)
    if texts is None and len(cell):
        raise ArgumentError(
            f"y: row {row} has {', '.join(map(str, cell))}, expected text and "
            "answer_start"
        )
    if texts is None:
        texts = []
    if isinstance(texts, str):
        texts, starts = [texts], [starts]
    if starts is None:
        starts = [None] * len(texts)
    if np.ndim(starts) == 0 or len(starts) != len(texts):
        raise ArgumentError(
            f"y: row {row} has {len(texts)} texts, expected as many starts"
        )
    return [
        (_text(text, row), _start(start, row))
        for text, start in zip(texts, starts, strict=True)
        if not _is_nothing(text)
    ]


def _is_nothing(cell: Any) -> bool:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return hasattr(cell, "__len__") and len(cell) == 0


def _text(text: Any, row: int) -> str:
    if not isinstance(text, str):
        raise ArgumentError(
            f"y: row {row}: an answer is {text!r:.40}, expected str"
        )
    return text


def _start(start: Any, row: int) -> int | None:
    if _is_nothing(start):
        return None
    # A column of whole numbers with one cell empty is of floats.
    if isinstance(start, float) and start.is_integer():
        start = int(start)
    if isinstance(start, bool) or not isinstance(start, int | np.integer):
        raise ArgumentError(
            f"y: row {row}: an answer's start is {start!r:.40}, expected a "
            "number of characters"
        )
    return int(start)


def _place(text: str, start: int | None, context: str, row: int) -> int:
    """Where an answer starts; one without a start stands once."""
    if start is not None:
        return start
    count = context.count(text)
    if count != 1:
        raise ArgumentError(
            f"y: row {row}: the context has {text!r:.40} {count} times, "
            "expected once, or its start"
        )
    return context.index(text)
