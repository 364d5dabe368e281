"""One check of the conformance suite: the class `Check`."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from bvkeras.errors import CheckError


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that a head, pooler or task must do; call it to check it.

    Attributes:
        subject: str. What is checked.
        name: str. What must hold, such as `"padding_changes_nothing"`.
        function: callable. Takes nothing, and raises where it does not hold.

    Raises:
        CheckError: when called, in one line: subject, name, what was found
            and what was expected. What the subject raises itself is told in
            the same way, and is the error's `__cause__`.
    """

    subject: str
    name: str
    function: Callable[[], None]

    def __call__(self) -> None:
        """Raises CheckError if it does not hold."""
        try:
            with _plain_errors():
                self.function()
        except AssertionError as error:
            raise CheckError(f"{self}: {one_line(error)}") from error
        except Exception as error:
            raise CheckError(
                f"{self}: raised {type(error).__name__}: {one_line(error)}"
            ) from error

    def __str__(self) -> str:
        return f"{self.subject}, {self.name}"


def checks_of(
    subject: str, value: Any, functions: Mapping[str, Callable[[Any], None]]
) -> list[Check]:
    """A check for each function, which is given `value`."""
    return [
        Check(subject, name, functools.partial(function, value))
        for name, function in functions.items()
    ]


def run_all(checks: Iterable[Check]) -> None:
    """Calls all checks; the first that fails raises CheckError."""
    for check in checks:
        check()


def parametrize_with_checks(checks: Iterable[Check]) -> Any:
    """A decorator of a pytest test, which runs once for each check.

    Args:
        checks: iterable of Check.

    Returns:
        `pytest.mark.parametrize` of the argument `check`.

    Example:
        ```python
        @bvkeras.testing.parametrize_with_checks(
            bvkeras.testing.head_checks(MyHead)
        )
        def test_my_head(check):
            check()
        ```

    Reference:
        scikit-learn, `sklearn.utils.estimator_checks`.
    """
    import pytest

    return pytest.mark.parametrize("check", list(checks), ids=str)


def expect(condition: bool, message: str) -> None:
    """Raises AssertionError, also where Python runs with -O."""
    if not condition:
        raise AssertionError(message)


def expect_close(
    found: np.ndarray, expected: np.ndarray, message: str, share: float = 1e-4
) -> None:
    """Raises AssertionError if two arrays differ; says by how much.

    Args:
        found: array.
        expected: array of the same shape.
        message: str. What went wrong if they differ.
        share: float. The most they may differ by, as a share of the largest
            value expected, or of 1. Defaults to `1e-4`.
    """
    expect(
        found.shape == expected.shape,
        f"{message}: received shape {found.shape}, expected {expected.shape}",
    )
    if not found.size:
        return
    difference = np.abs(np.float64(found) - np.float64(expected)).max()
    most = share * max(1.0, np.abs(np.float64(expected)).max())
    # Not `>`: NaN must fail.
    expect(difference <= most, f"{message}: they differ by {difference:.2g}")


def one_line(error: BaseException) -> str:
    """An error's message in one line, its first that says anything."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors as they are raised: Keras begins them with where it was."""
    enabled = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        if enabled:
            keras.config.enable_traceback_filtering()
