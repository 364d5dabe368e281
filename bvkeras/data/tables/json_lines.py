"""Reads JSON lines, and JSON files that hold one list."""

import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from bvkeras.data.tables.columns import find_columns
from bvkeras.data.tables.table_batch import TableBatch
from bvkeras.data.tables.text_file import numbered_lines, undecodable_line
from bvkeras.errors import DataError


def read_json_lines(
    path: pathlib.Path,
    columns: Sequence[str],
    separator: str | None,
    encoding: str | None,
    batch_rows: int,
) -> Iterator[TableBatch]:
    """Reads some keys of the objects in a file, one object a line.

    A file that begins with `[` is one list of objects instead, which is read
    whole; its rows count from 1, too. The first object names the columns; a
    later one may lack some, whose cells are None.

    Args:
        path: path. The file.
        columns: sequence of str. Keys to read.
        separator: str, or None. Of no meaning here.
        encoding: str, or None. As `open_text`.
        batch_rows: int. Most rows of a batch.

    Yields:
        `TableBatch`.

    Raises:
        DataError: the file cannot be read, a row is no object, or the first
            one lacks a column.
    """
    try:
        yield from _batches(path, columns, encoding, batch_rows)
    except UnicodeDecodeError:
        raise undecodable_line(path, encoding) from None


def _batches(path, columns, encoding, batch_rows):
    objects = _objects(path, encoding)
    is_first = True
    while chunk := list(itertools.islice(objects, batch_rows)):
        full = [row for row in chunk if row[1] is not None]
        if is_first and full:
            find_columns(path, list(full[0][1]), columns)
            is_first = False
        yield TableBatch(
            path,
            [number for number, _ in full],
            {name: [row.get(name) for _, row in full] for name in columns},
            len(chunk) - len(full),
        )


def _objects(path, encoding) -> Iterator[tuple[int, dict[str, Any] | None]]:
    lines = numbered_lines(path, encoding)
    for number, line in lines:
        text = line.strip()
        if number == 1 and text.startswith("["):
            yield from _listed(path, text + "".join(text for _, text in lines))
            return
        yield number, _checked(path, number, text) if text else None


def _listed(path, text):
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno}: is no JSON ({error.msg}), expected "
            "a list of objects or an object a line"
        ) from None
    except (RecursionError, ValueError):
        raise DataError(
            f"{path}: is nested too deeply or holds a number too long, "
            "expected a list of objects of plain values"
        ) from None
    for number, row in enumerate(rows, start=1):
        yield number, _checked_object(path, number, row)


def _checked(path, number, text):
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: row {number}: is no JSON ({error.msg} at character "
            f"{error.pos + 1}), expected an object a line"
        ) from None
    except (RecursionError, ValueError):
        raise DataError(
            f"{path}: row {number}: is nested too deeply or holds a number too "
            "long, expected an object of plain values"
        ) from None
    return _checked_object(path, number, row)


def _checked_object(path, number, row):
    if not isinstance(row, dict):
        raise DataError(
            f"{path}: row {number}: is a {type(row).__name__}, expected an "
            "object with columns as keys"
        )
    return row
