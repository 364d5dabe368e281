"""Words and their tags out of what people keep them in."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bvkeras.classifiers.containers import is_table, require_column
from bvkeras.data.tables.tagged_words import TaggedWords
from bvkeras.errors import ArgumentError


def read_words(x: Any, column: str) -> list[tuple[str, ...]]:
    """The words of each sentence.

    Args:
        x: an iterable of sequences of str; or a table, whose column has them.
        column: str. The table's column.

    Raises:
        ArgumentError: it is something else, a sentence has no word, or a word
            is no str or empty; names the row.
    """
    return _sequences(x, column, "x", "words")


def read_tags(
    y: Any, x: Any, column: str, words: Sequence[Sequence[str]]
) -> list[TaggedWords]:
    """The words with the tags of each sentence.

    Args:
        y: an iterable of sequences of str, or the name of a column of `x`;
            None is the column `column`.
        x: what `read_words` took.
        column: str. The column where `y` names none.
        words: sequence of n sequences of str. What it gave.

    Raises:
        ArgumentError: it is something else, or there is not a tag for each
            word; names the row.
    """
    if y is None or isinstance(y, str):
        column = y or column
        if not is_table(x):
            raise ArgumentError(
                "y: expected tags, one a word, got "
                f"{'none' if y is None else f'{y!r}, and x is no table'}"
            )
        y = x
    tags = _sequences(y, column, "y", "tags")
    if len(tags) != len(words):
        raise ArgumentError(
            f"y: expected {len(words)} rows of tags, as there are of words, "
            f"got {len(tags)}"
        )
    for row, (one, other) in enumerate(zip(words, tags, strict=True)):
        if len(one) != len(other):
            raise ArgumentError(
                f"y: row {row} has {len(other)} tags for {len(one)} words"
            )
    return [
        TaggedWords(tuple(one), tuple(other))
        for one, other in zip(words, tags, strict=True)
    ]


def _sequences(rows, column, name, what):
    if is_table(rows):
        require_column(rows, column)
        name, rows = f"{name}[{column!r}]", rows[column]
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise ArgumentError(
            f"{name}: expected a list of {what} for each sentence, got "
            f"{type(rows).__name__}"
        )
    found = []
    for number, row in enumerate(rows):
        if not isinstance(row, list | tuple | np.ndarray) or not len(row):
            raise ArgumentError(
                f"{name}: row {number} is {row!r:.40}, expected a list of "
                f"{what}"
            )
        for item in row:
            if not isinstance(item, str) or not item.strip():
                raise ArgumentError(
                    f"{name}: row {number} holds {item!r:.40}, expected str "
                    "that are not empty"
                )
        found.append(tuple(map(str, row)))
    return found
