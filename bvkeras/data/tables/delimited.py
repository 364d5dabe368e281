"""Reads CSV and TSV files, row by row."""

import csv
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence

from bvkeras.data.tables.columns import SEPARATORS, find_columns
from bvkeras.data.tables.table_batch import TableBatch
from bvkeras.data.tables.table_paths import suffix_of
from bvkeras.data.tables.text_file import open_text, undecodable
from bvkeras.errors import ArgumentError, DataError

# What a quote that is never closed may swallow before it is noticed.
_LONGEST_CELL = 1 << 24
_TABS = ("\t", "\\t", "tab")
_QUOTE_AT_START = re.compile(r'(^|\t)"')


def read_delimited(
    path: pathlib.Path,
    columns: Sequence[str],
    separator: str | None,
    encoding: str | None,
    batch_rows: int,
) -> Iterator[TableBatch]:
    """Reads some columns of a CSV or TSV file with a header.

    Quotes are RFC 4180's: a quoted cell may hold separators, line breaks and
    doubled quotes. A tab-separated file whose quotes do not fit that has
    none: there a `"` is text. Blank rows are left out and counted.

    Args:
        path: path. The file.
        columns: sequence of str. Columns to read.
        separator: str, or None. None finds it: a tab in `.tsv`, else the one
            that gives the header all the columns.
        encoding: str, or None. As `open_text`.
        batch_rows: int. Most rows of a batch.

    Yields:
        `TableBatch`.

    Raises:
        ArgumentError: the separator is not one character.
        DataError: the file cannot be read, a column is missing or there
            twice, or a row has another number of cells.
    """
    separator = _separator(path, columns, separator, encoding)
    quoted = separator != "\t" or _has_quoted_cells(path, encoding)
    rows = _rows(path, separator, quoted, encoding)
    try:
        yield from _batches(path, rows, columns, separator, batch_rows)
    except UnicodeDecodeError:
        raise undecodable(
            path,
            encoding,
            lambda errors: _rows(path, separator, quoted, encoding, errors),
        ) from None


def _batches(path, rows, columns, separator, batch_rows):
    _, header = next(rows, (1, []))
    positions = find_columns(path, header, columns, separator)
    blank = 0
    while chunk := list(itertools.islice(rows, batch_rows)):
        full = []
        for number, cells in chunk:
            if len(cells) == len(header):
                full.append((number, cells))
            elif not cells:
                blank += 1
            else:
                raise DataError(
                    f"{path}: row {number}: has {len(cells)} cells, expected "
                    f"{len(header)} as in the header; a cell with "
                    f"{separator!r} or a line break in it needs quotes"
                )
        yield TableBatch(
            path,
            [number for number, _ in full],
            {
                name: [cells[place] for _, cells in full]
                for name, place in zip(columns, positions, strict=True)
            },
            blank,
        )
        blank = 0


def _rows(path, separator, quoted, encoding, errors="strict"):
    """Number and cells of each row; a blank row has no cells."""
    number = 0
    with open_text(path, encoding, errors) as file:
        reader = csv.reader(
            file,
            delimiter=separator,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            while (cells := _next(reader)) is not None:
                number += 1
                yield number, cells
        except csv.Error as error:
            raise DataError(
                f"{path}: row {number + 1}: {_explained(error)}"
            ) from None


def _next(reader):
    # The limit is the whole process's, and others rely on theirs.
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _explained(error):
    message = str(error)
    if "end of data" in message:
        return "a quoted cell is not closed, expected a closing quote"
    if "expected after" in message:
        return (
            "a quoted cell goes on after its closing quote, expected quotes "
            'inside of it to be doubled ("")'
        )
    if "field limit" in message:
        return (
            f"a cell has more than {_LONGEST_CELL:,} characters, expected "
            "less; is a quote not closed?"
        )
    return f"{message}, expected a CSV file"


def _separator(path, columns, separator, encoding):
    if separator in _TABS:
        return "\t"
    if separator is not None:
        if len(separator) != 1 or separator in '"\r\n':
            raise ArgumentError(
                f"separator: got {separator!r}, expected one character, such "
                "as , or ; or tab"
            )
        return separator
    if suffix_of(path) in (".tsv", ".tab"):
        return "\t"
    for candidate in SEPARATORS:
        if set(columns) <= set(_header(path, candidate, encoding)):
            return candidate
    return ","


def _header(path, separator, encoding):
    try:
        return next(_rows(path, separator, True, encoding), (1, []))[1]
    except (DataError, UnicodeDecodeError):
        # With the separator that is taken in the end it is said.
        return []


def _has_quoted_cells(path, encoding):
    """Whether a tab-separated file quotes cells as CSV does.

    Some write `"` as any other character, and a text that begins with one
    and another that ends with one would swallow the rows between them.
    """
    with open_text(path, encoding, "surrogateescape") as file:
        if not any(_QUOTE_AT_START.search(line) for line in file):
            return False
    plain, is_even = _measure(path, False, encoding)
    try:
        quoted, _ = _measure(path, True, encoding)
    except DataError:
        return False
    return quoted == plain if is_even else True


def _measure(path, quoted, encoding):
    """The number of rows, and whether all have as many cells as the first."""
    rows = _rows(path, "\t", quoted, encoding, "surrogateescape")
    widths = [len(cells) for _, cells in rows if cells]
    return len(widths), len(set(widths)) == 1
