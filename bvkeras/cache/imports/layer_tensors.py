"""Which tensors of a file are hidden states, and in which order."""

import re
from collections.abc import Mapping

from bvkeras.cache.imports.array_tensors import STATES
from bvkeras.errors import DataError

LAYER = "{layer}"
FLOATS = ("float16", "bfloat16", "float32", "float64")
_NUMBER = re.compile(r"\d+")
_SHOWN = 6


def find_layers(
    where: str, dtypes: Mapping[str, str], wanted: str | None
) -> tuple[list[str], bool]:
    """The tensors that hold hidden states.

    Args:
        where: str. The file, for messages.
        dtypes: mapping of name to dtype. What there is.
        wanted: str, or None. The name of one tensor of all layers, or a
            pattern with `{layer}` in place of each layer's number. None finds
            `hidden_states`, or the only tensor of floating-point numbers, or
            those whose names differ in one number.

    Returns:
        Names, by the layer's number, and whether it is one of all layers.

    Raises:
        DataError: there are none, or it cannot be told which.
    """
    known = [name for name, dtype in dtypes.items() if dtype in FLOATS]
    if wanted is not None and LAYER in wanted:
        before, _, behind = wanted.partition(LAYER)
        pattern = re.compile(
            rf"{re.escape(before)}(\d+){re.escape(behind)}", re.DOTALL
        )
        found = {
            name: int(match[1])
            for name in known
            if (match := pattern.fullmatch(name))
        }
        if not found:
            raise DataError(
                f"{where}: has no floating-point tensor like {wanted!r}, it "
                f"has {_listed(dtypes)}"
            )
        return _by_number(where, found), False
    if wanted is not None or STATES in dtypes:
        wanted = wanted or STATES
        if wanted not in dtypes:
            raise DataError(
                f"{where}: has no {wanted!r}, it has {_listed(dtypes)}"
            )
        if wanted not in known:
            raise DataError(
                f"{where}: {wanted} is of type {dtypes[wanted]}, expected one "
                f"of {', '.join(FLOATS)}"
            )
        return [wanted], True
    if len(known) == 1:
        return known, True
    return _by_number(where, _numbered(where, known, dtypes)), False


def _numbered(where, known, dtypes) -> dict[str, int]:
    """Names that differ in one number, and that."""
    groups: dict[str, dict[str, list[int]]] = {}
    for name in known:
        numbers = [int(number) for number in _NUMBER.findall(name)]
        groups.setdefault(_NUMBER.sub(LAYER, name), {})[name] = numbers
    several = [group for group in groups.values() if len(group) > 1]
    if len(several) == 1:
        columns = list(zip(*several[0].values(), strict=True))
        differ = [i for i, column in enumerate(columns) if len({*column}) > 1]
        if len(differ) == 1:
            return {
                name: numbers[differ[0]] for name, numbers in several[0].items()
            }
    raise DataError(
        f"{where}: cannot tell which tensors are hidden states; say it "
        f"(--states), as 'layer_{LAYER}'; it has {_listed(dtypes)}"
    )


def _by_number(where: str, numbers: Mapping[str, int]) -> list[str]:
    names = sorted(numbers, key=numbers.__getitem__)
    if len({*numbers.values()}) < len(names):
        raise DataError(
            f"{where}: two tensors are of one layer, among {_listed(numbers)}"
        )
    return names


def _listed(names) -> str:
    names = list(names)
    shown = ", ".join(names[:_SHOWN]) or "nothing"
    return shown if len(names) <= _SHOWN else f"{shown}, …"
