"""Text from files and from outside, made safe to show on a terminal."""

import re
from typing import Any, TextIO

# Control characters (C0 without the line feed, DEL, C1), which a terminal
# obeys; those that end a line or turn its direction; lone surrogates, which
# cannot be written.
_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e"
    "\u2066-\u2069\ud800-\udfff]"
)

# What makes a spreadsheet compute a cell.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def say(
    text: object = "", *, end: str = "\n", file: TextIO | None = None
) -> None:
    """Prints a text, `printable`, at once; to standard output by default."""
    print(printable(text), end=end, file=file, flush=True)


def spreadsheet_cell(value: Any) -> Any:
    """A cell of a file meant for spreadsheets, which would compute some texts.

    Args:
        value: object. Of the cell.

    Returns:
        `value`; with an apostrophe in front if it is a text that begins with
        `=`, `+`, `-`, `@`, a tab or a carriage return, is longer than that,
        and is no number.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA_SIGNS):
        return value
    try:
        float(value)
    except ValueError:
        return value if len(value) == 1 else f"'{value}"
    return value


def one_line(error: BaseException) -> str:
    """The first line of what an error says, or its class if it says nothing."""
    lines = printable(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def printable(text: object) -> str:
    """A text with escapes in place of what a terminal would obey.

    Args:
        text: object. What `str` makes of it; it may have several lines.

    Returns:
        str. `\\x1b` (backslash, x, 1, b) for an escape character, and so on.
    """
    return _UNSEEN.sub(
        lambda found: ascii(found[0])[1:-1],
        str(text),
    )
