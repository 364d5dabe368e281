"""Opens text files of any encoding, packed or not."""

import codecs
import contextlib
import gzip
import io
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from bvkeras.errors import ArgumentError, DataError

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextlib.contextmanager
def open_bytes(path: pathlib.Path) -> Iterator[io.BufferedIOBase]:
    """Opens a file, unpacked where it is packed by gzip.

    Failures inside the block, of opening, reading or unpacking, become one
    line that names the file.

    Args:
        path: path. The file.

    Raises:
        DataError: it cannot be opened, read or unpacked, is empty, or is a
            ZIP archive.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic == _ZIP_MAGIC:
                raise DataError(
                    f"{path}: is a ZIP archive or an Excel file, expected a "
                    "plain or gzip-packed table; save it as CSV (UTF-8)"
                )
            if not magic:
                raise DataError(f"{path}: is empty, expected a table")
            if magic.startswith(_GZIP_MAGIC) or path.suffix.lower() == ".gz":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: cannot be unpacked ({error}), expected a whole gzip file"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}), expected a "
            "table file"
        ) from None


@contextlib.contextmanager
def open_text(
    path: pathlib.Path, encoding: str | None, errors: str = "strict"
) -> Iterator[TextIO]:
    """Opens a text file; line ends are left as they are.

    Args:
        path: path. The file.
        encoding: str, or None. None is UTF-8, or UTF-16 where a byte order
            mark says so.
        errors: str. What becomes of bytes that are no text, as in `open`.

    Raises:
        ArgumentError: there is no such encoding.
        DataError: as `open_bytes`.
    """
    with open_bytes(path) as file:
        buffered = io.BufferedReader(file)
        text = io.TextIOWrapper(
            buffered,
            encoding=_codec(encoding, buffered.peek(2)[:2]),
            errors=errors,
            newline="",
        )
        try:
            yield text
        finally:
            # What it wraps is closed by who opened it.
            text.detach().detach()


def numbered_lines(
    path: pathlib.Path, encoding: str | None, errors: str = "strict"
) -> Iterator[tuple[int, str]]:
    """The lines of a text file, as `open_text` gives them, from 1.

    Args:
        path: path. The file.
        encoding: str, or None. As `open_text`.
        errors: str. As `open_text`.
    """
    with open_text(path, encoding, errors) as file:
        yield from enumerate(file, start=1)


def undecodable_line(path: pathlib.Path, encoding: str | None) -> DataError:
    """The error for a line that is not of a file's encoding.

    Args:
        path: path. The file.
        encoding: str, or None. As it was read.
    """
    return undecodable(
        path,
        encoding,
        lambda errors: (
            (number, [line])
            for number, line in numbered_lines(path, encoding, errors)
        ),
    )


def undecodable(
    path: pathlib.Path,
    encoding: str | None,
    rows: Callable[[str], Iterable[tuple[int, Iterable[str]]]],
) -> DataError:
    """The error for bytes that are not of a file's encoding.

    Args:
        path: path. The file.
        encoding: str, or None. As it was read.
        rows: callable. Takes `errors` of `open_text` and reads the rows
            again: numbers and their texts.
    """
    hint = (
        "UTF-8; give the file's own encoding, such as cp1252 or latin-1"
        if encoding is None
        else f"{encoding} as given"
    )
    try:
        for number, cells in rows("surrogateescape"):
            for character in "".join(cells):
                if "\udc80" <= character <= "\udcff":
                    byte = ord(character) - 0xDC00
                    return DataError(
                        f"{path}: row {number}: byte {byte:#04x} is no text, "
                        f"expected {hint}"
                    )
    except (DataError, UnicodeError):
        # A multi-byte encoding may not get past the place at all.
        pass
    return DataError(f"{path}: some bytes are no text, expected {hint}")


def _codec(encoding, start):
    if encoding is None:
        return "utf-16" if start in _UTF_16_MARKS else "utf-8-sig"
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise ArgumentError(
            f"encoding: there is no encoding {encoding!r}, expected one such "
            "as utf-8, cp1252 or latin-1"
        ) from None
    return "utf-8-sig" if name == "utf-8" else name
