"""Rows of words with a tag each."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from bvkeras.data.tables.reading import open_batches
from bvkeras.data.tables.table_paths import find_files, table_format
from bvkeras.data.tables.table_rows import (
    TableRows,
    is_unicode,
    require_good_ids,
    row_names,
)
from bvkeras.errors import DataError
from bvkeras.tasks.table_files import TableFiles


class TaggedWords(NamedTuple):
    """A sentence.

    Attributes:
        words: tuple of n str.
        tags: tuple of n str, as the file has them.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]


def read_tagged_rows(
    files: TableFiles,
    patterns: Sequence[str],
    words: str = "words",
    tags: str = "tags",
    *,
    data_dir: str | pathlib.Path | None = None,
) -> TableRows:
    """Reads sentences whose words have tags.

    Args:
        files: `TableFiles`. How files are read. Besides tables with lists,
            JSON lists, or words with blanks between: CoNLL's columns
            (`.conll`, `.iob`, `.bio`).
        patterns: sequence of str. Those of `files.train` or of
            `files.validation`.
        words: str. Column of the words. Defaults to `"words"`.
        tags: str. Column of the tags. Defaults to `"tags"`.
        data_dir: str, path or None. As `open_batches`.

    Returns:
        `TableRows`. A row's text has blanks between the words; its label is a
        `TaggedWords`.

    Raises:
        DataError: a file cannot be read, an id comes twice, or a row has other
            than one tag for each word, an empty word, or no word.
    """
    paths = find_files(patterns, data_dir)
    names = row_names(paths, files, data_dir)
    rows = TableRows(paths, [], [], ([],), [], {})
    num_blank = 0
    id_columns = [files.id_column] if files.id_column else []
    for batch in open_batches(
        paths,
        (words, tags, *id_columns),
        separator=files.separator,
        encoding=files.encoding,
    ):
        num_blank += batch.blank
        file = paths.index(batch.path)
        for index, number in enumerate(batch.rows):
            where = f"{batch.path}: row {number}"
            sentence = TaggedWords(
                *(
                    split_words(f"{where}: {name}", batch.cells[name][index])
                    for name in (words, tags)
                )
            )
            if len(sentence.words) != len(sentence.tags):
                raise DataError(
                    f"{where}: has {len(sentence.words)} {words} and "
                    f"{len(sentence.tags)} {tags}, expected a tag for each word"
                )
            rows.places.append((file, number))
            rows.ids.append(
                str(batch.cells[id_columns[0]][index])
                if id_columns
                else f"{names[file]}-{number}"
            )
            rows.texts[0].append(" ".join(sentence.words))
            rows.labels.append(sentence)
    require_good_ids(rows, files.id_column)
    return dataclasses.replace(rows, num_blank=num_blank)


def are_tagged(files: TableFiles, words: str, tags: str) -> bool:
    """Whether files hold words with tags, by their names or first cells.

    Args:
        files: `TableFiles`.
        words: str. Column of the texts, or words.
        tags: str. Column of the labels, or tags.

    Raises:
        DataError: a file is not there, cannot be read, or lacks a column.
    """
    path = find_files(files.train)[0]
    if table_format(path) == "conll":
        return True
    batch = next(
        open_batches(
            [path],
            (words, tags),
            separator=files.separator,
            encoding=files.encoding,
            batch_rows=1,
        )
    )
    cells = [batch.cells[name][:1] for name in (words, tags)]
    return all(cell and isinstance(cell[0], (list, tuple)) for cell in cells)


def split_words(where: str, cell: Any) -> tuple[str, ...]:
    """The words, or tags, of one cell.

    Args:
        where: str. File, row and column, to begin a message with.
        cell: list of str, a JSON list, or str with blanks between.

    Raises:
        DataError: it holds no word, an empty one, or something else.
    """
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
        raise DataError(f"{where} is {cell!r:.80}, expected a list of words")
    for part in parts:
        if not isinstance(part, (str, int)) or not str(part).strip():
            raise DataError(
                f"{where} holds {part!r:.80}, expected words that are not empty"
            )
        if not is_unicode(str(part)):
            raise DataError(
                f"{where} holds half of a surrogate pair, expected Unicode"
            )
    return tuple(str(part) for part in parts)
