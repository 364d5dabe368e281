import functools

import pytest

import bvkeras
from bvkeras.errors import ArgumentError, CheckError
from bvkeras.models import (
    LinearProbe,
    PoolingClassifier,
    PoolingRegressor,
    PoolingSpanModel,
    WeightedProbe,
)
from tests.testing import planted

OURS = [
    (PoolingClassifier, {"num_classes": 3, "units": 4}, "classes"),
    (PoolingRegressor, {"units": 4, "sequence_length": 6}, "score"),
    (PoolingSpanModel, {"units": 4, "pooler": "scalar_mix"}, "span"),
    (LinearProbe, {"num_classes": 2}, "classes"),
    (WeightedProbe, {"num_classes": 3}, "classes"),
]
CHECKS = [
    check
    for head, arguments, kind in OURS
    for check in bvkeras.testing.head_checks(
        functools.partial(head, **arguments), kind
    )
]


@bvkeras.testing.parametrize_with_checks(CHECKS)
def test_our_heads(check):
    check()


def test_a_head_of_somebody_else():
    bvkeras.testing.check_head(planted.GoodHead)


@pytest.mark.parametrize(
    ("head", "check", "message"),
    [
        (planted.IgnoresMask, "padding_changes_nothing", "stands at padded"),
        (planted.MultipliesByMask, "padding_changes_nothing", "NaN at padded"),
        (planted.CountsPadding, "padding_changes_nothing", "one more position"),
        (planted.ForgetsConfig, "config", "says nothing of .* 'units'"),
        (planted.NotRegistered, "saves_and_loads", "raised TypeError: Could"),
        (planted.ListInReverse, "list_equals_stacked", "a list of layers giv"),
        (planted.ReadsValuesAlone, "eight_bit_states", "else than float32"),
        (planted.RefusesAtLength, "eight_bit_states", "not in one line: can"),
        (planted.FailsOnNothing, "empty_batch", "raised IndexError: no first"),
        (planted.StopsGradient, "every_weight_has_a_gradient", "has no grad"),
        (planted.RoundsOutputs, "outputs", "are bfloat16, expected float32"),
        (planted.GivesNoise, "outputs", "called again, outside of training"),
        (planted.LearnsNothing, "learns", "an easy task: the loss went from"),
    ],
)
def test_a_fault_is_found_and_named(head, check, message):
    if head is planted.RoundsOutputs:
        head = functools.partial(head, dtype="mixed_bfloat16")
    assert _first_failure(head, check, message)


def test_a_config_that_says_something_else_is_found():
    head = functools.partial(planted.SaysTheDefault, units=3)
    _first_failure(head, "config", "received weights .* expected")


@pytest.mark.parametrize(
    ("kind", "message"),
    [("score", "expected .batch, 1."), ("span", "expected .batch, tokens, 2")],
)
def test_outputs_of_another_kind_are_found(kind, message):
    with pytest.raises(CheckError, match=f"GoodHead, outputs: .*{message}"):
        bvkeras.testing.check_head(planted.GoodHead, kind)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ArgumentError, match="kind: received 'tokens', expec"):
        bvkeras.testing.head_checks(planted.GoodHead, "tokens")


def _first_failure(head, check, message):
    """Whether `check` fails with the message, and is the one that should."""
    checks = {c.name: c for c in bvkeras.testing.head_checks(head)}
    with pytest.raises(CheckError, match=message) as error:
        checks[check]()
    text = str(error.value)
    assert text.startswith(f"{checks[check].subject}, {check}: ")
    assert "\n" not in text
    return True
