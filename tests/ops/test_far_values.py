"""Z beyond what float16 holds, 65,504, where float16 is what is kept of it.

GELU is 0 or Z there, and its derivative 0 or 1. An infinite Z would have a
gradient of NaN.
"""

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.ops import linear_pooling
from tests.native import VARIANTS, force_variant, require_native
from tests.ops import float64_reference

SHAPE = (2, 3, 2, 8)
UNITS, OUTPUTS = 5, 3
LARGEST = 65504.0


def arrays(operation):
    """H, W, b and V in float64, each exact in float16."""
    random = np.random.default_rng(0)
    case = [
        random.integers(-300, 301, SHAPE).astype("d"),
        random.integers(-300, 301, (SHAPE[-1], UNITS)).astype("d"),
        random.integers(-3, 4, UNITS).astype("d"),
    ]
    positions = SHAPE[1:2] if operation == "per position" else ()
    if operation != "pooling":
        shape = (*positions, SHAPE[2], UNITS, OUTPUTS)
        case.append(random.integers(-2, 3, shape) / 4.0)
    return case


def run(operation, approximate, keep, implementation):
    """The output and the gradients of H, W, b and V, given ones."""
    sources = [
        tf.constant(array, "float32" if i else "float16")
        for i, array in enumerate(arrays(operation))
    ]
    arguments = {
        "approximate": approximate,
        "compute_dtype": "float16",
        "keep": keep,
        "implementation": implementation,
    }
    with tf.GradientTape() as tape:
        tape.watch(sources)
        if operation == "pooling":
            output = linear_pooling.linear_pooling(*sources, **arguments)
        else:
            output = linear_pooling.linear_pooling_projection(
                *sources, **arguments
            )
    return [output, *tape.gradient(output, sources)]


def exact(operation, approximate, cut):
    """The gradients in float64. `cut`: V's, as of what float16 keeps of Z."""
    case = arrays(operation)
    z = case[0] @ case[1]
    assert (np.abs(z) > 2 * LARGEST).any()
    assert (np.abs(z) < LARGEST).any()
    mask = np.ones(SHAPE[:2])
    if operation == "pooling":
        gradient = np.ones((*SHAPE[:3], UNITS))
        return float64_reference.linear_pooling_gradients(
            *case, mask, approximate, gradient
        )
    gradient = np.ones((*SHAPE[:2], OUTPUTS))
    gradients = float64_reference.linear_pooling_projection_gradients(
        *case, mask, approximate, gradient
    )
    if cut:
        pooled = np.clip(z + case[2], 0, LARGEST)
        letters = "btla,btc->tlac" if case[3].ndim == 4 else "btla,btc->lac"
        gradients = (*gradients[:3], np.einsum(letters, pooled, gradient))
    return gradients


def check_exact(gradients, expected):
    for actual, right in zip(gradients, expected, strict=True):
        assert tuple(actual.shape) == right.shape
        difference = np.abs(tf.cast(actual, "float64").numpy() - right)
        assert difference.max() <= 3 / 2048 * np.abs(right).max()


@pytest.mark.parametrize("keep", ["stash", "recompute"])
@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("operation", ["pooling", "shared", "per position"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_native(variant, operation, approximate, keep, monkeypatch):
    force_variant(monkeypatch, variant)
    _, *gradients = run(operation, approximate, keep, "native")
    check_exact(gradients, exact(operation, approximate, keep == "stash"))


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("operation", ["shared", "per position"])
def test_native_of_products(operation, approximate, monkeypatch):
    require_native()
    monkeypatch.setattr(linear_pooling, "takes_matmul", lambda units: True)
    output, *gradients = run(operation, approximate, "stash", "native")
    assert np.isfinite(output).all()
    check_exact(gradients, exact(operation, approximate, True))


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("operation", ["pooling", "shared", "per position"])
def test_reference_stays_finite(operation, approximate):
    for result in run(operation, approximate, "stash", "reference"):
        assert np.isfinite(tf.cast(result, "float32")).all()


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gelu_as_far_as_float32_goes(variant, approximate, monkeypatch):
    force_variant(monkeypatch, variant)
    far = np.array([-3e38, -1e20, -7e4, -20, -13, 13, 20, 7e4, 1e20, 3e38])
    hidden_states = tf.constant(far.reshape(10, 1, 1, 1), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(hidden_states)
        output = linear_pooling.linear_pooling(
            hidden_states,
            tf.ones((1, 1)),
            None,
            approximate=approximate,
            implementation="native",
        )
    slope = tape.gradient(output, hidden_states)
    positive = far > 0
    np.testing.assert_allclose(
        tf.reshape(output, -1), far * positive, rtol=1e-6, atol=1e-30
    )
    np.testing.assert_allclose(tf.reshape(slope, -1), positive, atol=1e-30)
