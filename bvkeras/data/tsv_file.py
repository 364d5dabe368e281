"""Reads tab-separated files as GLUE writes them.

There is no quoting: a `"` is text. Text is UTF-8, with or without a byte
order mark; a line ends with LF or CRLF. A last line that is blank is none.
"""

import codecs
import pathlib
from collections.abc import Iterator

from bvkeras.errors import DataError


def read_rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Reads the rows of a file, one at a time.

    Args:
        path: path. The file.

    Yields:
        The number of the line, from 1, and its fields.

    Raises:
        DataError: the file is missing, is empty, or is not UTF-8.
    """
    number = 0
    blank = None
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                line = line.removesuffix(b"\n").removesuffix(b"\r")
                if blank is not None:
                    yield blank, [""]
                blank = None if line else number
                if not line:
                    continue
                yield number, line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: row {number}: byte {error.object[error.start]:#04x} at "
            f"position {error.start} is not UTF-8, expected UTF-8 text"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}), expected a "
            "tab-separated file"
        ) from None
    if number == 0 or (number, blank) == (1, 1):
        raise DataError(f"{path}: is empty, expected one example a row")


def read_table(
    path: pathlib.Path,
    wanted: tuple[str, ...],
    columns: tuple[str, ...] | None = None,
    allow_short: bool = False,
) -> Iterator[tuple[int, list[str | None]]]:
    """Reads some columns of a file, in the order asked for.

    Args:
        path: path. The file.
        wanted: tuple of str. Names of the columns to read.
        columns: tuple of str, or None. Names of all columns, for a file
            without a header. None reads the names from the first row.
        allow_short: bool. Whether a row may have too few columns and a line
            may be blank. Defaults to `False`.

    Yields:
        The number of the line, from 1, and the fields of `wanted`. With
        `allow_short` a field that a row is too short for is None, and a
        blank line is no row: what `csv.DictReader` makes of them.

    Raises:
        DataError: a column is missing, a row has another number of columns,
            there is no row, or the file cannot be read.
    """
    rows = read_rows(path)
    if columns is None:
        _, header = next(rows)
        for name in wanted:
            if name not in header:
                raise DataError(
                    f"{path}: row 1: no column {name!r} among "
                    f"{', '.join(map(repr, header))}; expected "
                    f"{', '.join(map(repr, wanted))}"
                )
        columns = tuple(header)
    positions = [columns.index(name) for name in wanted]
    has_rows = False
    for number, cells in rows:
        fields: list[str | None] = [*cells]
        missing = len(columns) - len(fields)
        if allow_short and missing > 0:
            if fields == [""]:
                continue
            fields += [None] * missing
        elif missing:
            raise DataError(
                f"{path}: row {number}: {len(fields)} tab-separated columns, "
                f"expected {len(columns)}"
            )
        has_rows = True
        yield number, [fields[position] for position in positions]
    if not has_rows:
        raise DataError(
            f"{path}: has a header and no examples, expected one a row"
        )
