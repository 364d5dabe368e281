"""Words with a tag each."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

from bvkeras.data.tables.reading import open_batches
from bvkeras.errors import DataError


@dataclasses.dataclass(frozen=True)
class TaggedWords:
    """Sentences as words with tags.

    Args:
        places: tuple of n str. File and row of each sentence.
        words: tuple of n tuples of str.
        tags: tuple of n tuples of str, a tag a word.
    """

    places: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def names(self) -> tuple[str, ...]:
        """All tags, sorted."""
        return tuple(sorted({tag for tags in self.tags for tag in tags}))


def read_tagged_words(
    paths: Sequence[str | os.PathLike],
    words: str = "words",
    tags: str = "tags",
    *,
    separator: str | None = None,
    encoding: str | None = None,
) -> TaggedWords:
    """Reads sentences whose words have tags.

    Args:
        paths: sequence of str or path. CoNLL's columns (`.conll`, `.iob`,
            `.bio`), or tables with lists, JSON lists or words with blanks
            between.
        words: str. Column of the words. Defaults to `"words"`.
        tags: str. Column of the tags. Defaults to `"tags"`.
        separator: str, or None. As `open_batches`.
        encoding: str, or None. As `open_batches`.

    Raises:
        DataError: a file cannot be read, or a row has other than one tag for
            each word, an empty word, or no word.
    """
    places, found_words, found_tags = [], [], []
    for batch in open_batches(
        paths, (words, tags), separator=separator, encoding=encoding
    ):
        for index, number in enumerate(batch.rows):
            place = f"{batch.path}: row {number}"
            row_words, row_tags = (
                _texts(place, name, batch.cells[name][index])
                for name in (words, tags)
            )
            if len(row_words) != len(row_tags):
                raise DataError(
                    f"{place}: has {len(row_words)} {words} and "
                    f"{len(row_tags)} {tags}, expected a tag for each word"
                )
            places.append(place)
            found_words.append(row_words)
            found_tags.append(row_tags)
    return TaggedWords(tuple(places), tuple(found_words), tuple(found_tags))


def _texts(place: str, name: str, cell: Any) -> tuple[str, ...]:
    parts = cell
    if isinstance(cell, str):
        parts = cell.split()
        if cell.lstrip().startswith("["):
            try:
                parts = json.loads(cell)
            except ValueError:
                # A word may well be "[".
                parts = cell.split()
    if not isinstance(parts, (list, tuple)) or not parts:
        raise DataError(
            f"{place}: {name} is {cell!r}, expected a list of words"
        )
    for part in parts:
        if not isinstance(part, (str, int)) or not str(part).strip():
            raise DataError(
                f"{place}: {name} holds {part!r}, expected words that are not "
                "empty"
            )
    return tuple(str(part) for part in parts)
