"""What one cell of a label column says."""

import math
import re
from typing import Any

_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0*)?")
_MISSING = frozenset(("", "nan", "NaN", "NAN"))


def is_missing(cell: Any) -> bool:
    """Whether a cell holds no label: nothing, blanks, or not a number."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return cell.strip() in _MISSING
    return isinstance(cell, float) and math.isnan(cell)


def class_name(cell: Any) -> str:
    """The name of a class: text, any blanks in it one space.

    A whole number has one name however it is written: 1, 1.0 and "1.0" are
    all `"1"`.

    Args:
        cell: str, int, float or bool.

    Raises:
        ValueError: the cell is something else.
    """
    if isinstance(cell, str):
        text = " ".join(cell.split())
    elif isinstance(cell, (bool, int, float)):
        text = str(cell)
    else:
        raise ValueError(
            f"is a {type(cell).__name__}, expected one name or number"
        )
    number = _WHOLE_NUMBER.fullmatch(text)
    return number.group(1) if number else text


def as_number(cell: Any) -> float | None:
    """The number in a cell, or None where it is none.

    Args:
        cell: anything. True and False are no numbers.
    """
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        return None
    try:
        # float() would take "1_000", which no table means as a number.
        return None if "_" in str(cell) else float(cell)
    except (ValueError, OverflowError):
        return None


def in_order(names: Any) -> tuple[str, ...]:
    """Names of classes sorted, in the order of numbers where all are."""
    names = set(names)
    numbers = {name: as_number(name) for name in names}
    if None in numbers.values():
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (numbers[name], name)))
