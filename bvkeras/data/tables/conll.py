"""Reads files in CoNLL's columns: a word a line, its tag in the last one."""

import pathlib
from collections.abc import Iterator, Sequence

from bvkeras.data.tables.columns import find_columns
from bvkeras.data.tables.table_batch import TableBatch
from bvkeras.data.tables.text_file import numbered_lines, undecodable_line
from bvkeras.errors import DataError

COLUMNS = ("words", "tags")

_DOCUMENT_START = "-DOCSTART-"


def read_conll(
    path: pathlib.Path,
    columns: Sequence[str],
    separator: str | None,
    encoding: str | None,
    batch_rows: int,
) -> Iterator[TableBatch]:
    """Reads sentences: the columns `words` and `tags`, lists of str.

    A line has a word first and its tag last, with blanks or tabs between; a
    blank line ends a sentence, and so does `-DOCSTART-`. A sentence's row is
    the number of its first line.

    Args:
        path: path. The file.
        columns: sequence of str. Of `words` and `tags`.
        separator: str, or None. Of no meaning here.
        encoding: str, or None. As `open_text`.
        batch_rows: int. Most sentences of a batch.

    Yields:
        `TableBatch`.

    Raises:
        DataError: the file cannot be read, or tags are to be read and a line
            has one column only.
    """
    find_columns(path, COLUMNS, columns)
    sentences: list[tuple[int, list[str], list[str]]] = []
    try:
        for sentence in _sentences(path, encoding, "tags" in columns):
            sentences.append(sentence)
            if len(sentences) == batch_rows:
                yield _batch(path, columns, sentences)
                sentences = []
    except UnicodeDecodeError:
        raise undecodable_line(path, encoding) from None
    if sentences:
        yield _batch(path, columns, sentences)


def _batch(path, columns, sentences):
    rows, words, tags = map(list, zip(*sentences, strict=True))
    cells = {"words": words, "tags": tags}
    return TableBatch(path, rows, {name: cells[name] for name in columns})


def _sentences(path, encoding, with_tags):
    first, words, tags = 0, [], []
    for number, line in numbered_lines(path, encoding):
        parts = line.split()
        if not parts or parts[0] == _DOCUMENT_START:
            if words:
                yield first, words, tags
            words, tags = [], []
            continue
        if with_tags and len(parts) < 2:
            raise DataError(
                f"{path}: row {number}: has one column, expected a word and "
                "its tag"
            )
        if not words:
            first = number
        words.append(parts[0])
        tags.append(parts[-1])
    if words:
        yield first, words, tags
