"""What a setting of training may be; the rest is refused before any work."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from bvkeras.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class SettingCheck:
    """One rule for the value of a setting.

    Attributes:
        expected: str. The values it takes, in words.
        accepts: callable. Whether it takes a value.
    """

    expected: str
    accepts: Callable[[Any], bool]

    def require(self, name: str, value: Any) -> None:
        """Refuses a value.

        Args:
            name: str. The setting's.
            value: the value.

        Raises:
            ArgumentError: it is not one of those.
        """
        if not self.accepts(value):
            raise ArgumentError(
                f"{name}: expected {self.expected}, got {value!r}"
            )


def whole_number(low: int, high: float = math.inf) -> SettingCheck:
    """The whole numbers from `low` up to `high`."""
    expected = f"at least {low}, a whole number"
    if high < math.inf:
        expected = f"a whole number from {low} to {high}"
    return SettingCheck(
        expected, lambda value: _is_whole(value) and low <= value <= high
    )


def one_of(*values: str) -> SettingCheck:
    """Some names."""
    return SettingCheck(f"one of {', '.join(values)}", lambda v: v in values)


ABOVE_ZERO = SettingCheck(
    "a number above 0", lambda value: _is_number(value) and value > 0
)
AT_LEAST_ZERO = SettingCheck(
    "a number of at least 0", lambda value: _is_number(value) and value >= 0
)
SHARE = SettingCheck(
    "a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1
)
DROPOUT = SettingCheck(
    "a number in [0, 1)", lambda value: _is_number(value) and 0 <= value < 1
)
SEED = whole_number(0, (1 << 32) - 1)


def check_fields(config: Any, checks: Mapping[str, SettingCheck]) -> None:
    """Refuses a config with a value that cannot be its setting's.

    Raises:
        ArgumentError: there is one; names it.
    """
    for name, check in checks.items():
        check.require(name, getattr(config, name))


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
