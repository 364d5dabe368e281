"""Finds named columns among those a file has."""

import difflib
import pathlib
from collections.abc import Sequence

from bvkeras.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
_MOST_LISTED = 20


def find_columns(
    path: pathlib.Path,
    header: Sequence[str],
    wanted: Sequence[str],
    separator: str | None = None,
) -> list[int]:
    """Positions of the wanted columns.

    Args:
        path: path. The file, for messages.
        header: sequence of str. Names of its columns.
        wanted: sequence of str. Names to find.
        separator: str, or None. What stood between the names, of CSV.

    Raises:
        DataError: a name is not there, or is there twice.
    """
    for name in wanted:
        count = header.count(name)
        if count > 1:
            raise DataError(
                f"{path}: row 1: column {name!r} is there {count} times, "
                "expected once"
            )
        if count == 0:
            raise DataError(
                f"{path}: row 1: no column {name!r}, expected one of "
                f"{listed(header)}{_hint(header, name, separator)}"
            )
    return [header.index(name) for name in wanted]


def listed(names: Sequence[str]) -> str:
    """Names for a message, not too many."""
    text = ", ".join(repr(name) for name in names[:_MOST_LISTED])
    more = len(names) - _MOST_LISTED
    return f"{text} and {more} more" if more > 0 else text


def _hint(header, name, separator):
    if separator is not None and len(header) == 1:
        for other in SEPARATORS:
            if other != separator and other in header[0]:
                return (
                    f"; the whole header is one cell: is the separator "
                    f"{other!r} and not {separator!r}?"
                )
    folded = {other.strip().casefold(): other for other in header}
    close = difflib.get_close_matches(name.strip().casefold(), folded, 1)
    return f"; is it {folded[close[0]]!r}?" if close else ""
