import functools

import pytest

import bvkeras
from bvkeras.errors import CheckError
from bvkeras.layers import LinearPooling, ScalarMix
from tests.testing import planted

CHECKS = [
    check
    for make in (
        functools.partial(LinearPooling, 4),
        functools.partial(LinearPooling, 4, activation="relu"),
        ScalarMix,
    )
    for check in bvkeras.testing.pooler_checks(make)
]


@bvkeras.testing.parametrize_with_checks(CHECKS)
def test_our_poolers(check):
    check()


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("outputs", "are not zero at padding"),
        ("list_equals_stacked", "raised IndexError"),
    ],
)
def test_a_fault_is_found_and_named(check, message):
    checks = bvkeras.testing.pooler_checks(planted.PlainPooler)
    found = next(c for c in checks if c.name == check)
    with pytest.raises(CheckError, match=f"PlainPooler, {check}: .*{message}"):
        found()
