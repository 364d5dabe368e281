"""The native library against the reference, both against float64.

The rule, for the output and for every gradient: the error against float64 is
at most twice that of plain TensorFlow in the same type. Few roundings can
cancel by chance, so this much of the largest value is allowed in any case: a
few units in the last place for float32, and one rounding to the type that Z
is kept in for the others.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.ops import reference
from bvkeras.ops.hidden_states import dequantize
from bvkeras.ops.linear_pooling import (
    linear_pooling,
    linear_pooling_projection,
)
from tests.native import VARIANTS, force_variant, require_native
from tests.ops.parity_cases import (
    DTYPES,
    FLOOR,
    FORMS,
    GRID,
    KEEP,
    MASKS,
    OPERATIONS,
    SHAPES,
    exact,
    make_case,
    named,
    operand_dtype,
)

ROUNDING = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}


def run(operation_function, shape, dtype, operation, mask, form):
    """Output and gradients in TensorFlow.

    Args:
        operation_function: callable. Takes hidden states, scales and the
            other tensors by name.
        shape: tuple of six sizes.
        dtype: string. Type of the hidden states.
        operation: string. One of `OPERATIONS`.
        mask: string or `None`. One of `MASKS`.
        form: string. One of `FORMS`.
    """
    case, mask_array, lengths = make_case(shape, dtype, operation, mask)
    tensors = {
        name: tf.constant(case[name], tf.float32)
        for name in ("kernel", "bias", "projection")
        if name in case
    }
    stacked = tf.constant(case["hidden_states"], dtype)
    scales = None
    if dtype == "int8":
        scales = tf.constant(case["scales"], tf.float32)
    valid = {}
    if mask == "lengths":
        valid["lengths"] = tf.constant(lengths)
    elif mask is not None:
        valid["mask"] = tf.constant(mask_array)
    sources = [*tensors.values()]
    hidden_states = stacked
    if form == "list":
        hidden_states = tf.unstack(stacked, axis=2)
        scales = None if scales is None else tf.unstack(scales, axis=2)
    with tf.GradientTape() as tape:
        tape.watch(sources)
        if dtype != "int8":
            tape.watch(hidden_states)
        output = operation_function(
            hidden_states, scales=scales, **tensors, **valid
        )
    gradient = tf.cast(case["output_gradient"], output.dtype)
    if dtype == "int8":
        return named([output, *tape.gradient(output, sources, gradient), None])
    *by_weights, by_h = tape.gradient(
        output, [*sources, hidden_states], gradient
    )
    if form == "list":
        by_h = tf.stack(by_h, axis=2)
    return named([output, *by_weights, by_h])


def native(approximate, keep):
    def operation(hidden_states, scales, **tensors):
        function = (
            linear_pooling_projection
            if "projection" in tensors
            else linear_pooling
        )
        if scales is not None:
            hidden_states = (hidden_states, scales)
        return function(
            hidden_states,
            **tensors,
            approximate=approximate,
            keep=keep,
            implementation="native",
        )

    return operation


@functools.lru_cache(maxsize=256)
def plain_errors(shape, dtype, operation, mask, approximate, form):
    """Errors of plain TensorFlow: the graph kernels.md names for the type."""

    def plain(hidden_states, scales, lengths=None, mask=None, **tensors):
        if lengths is not None:
            mask = tf.sequence_mask(lengths, shape[1])
        if scales is not None:
            hidden_states = dequantize((hidden_states, scales), "bfloat16")
        if "projection" in tensors:
            function, kwargs = reference.linear_pooling_projection, {}
        else:
            function = reference.linear_pooling
            kwargs = {"dtype": tf.as_dtype(operand_dtype(dtype))}
        return function(
            hidden_states,
            mask=mask,
            approximate=approximate,
            **tensors,
            **kwargs,
        )

    results = run(plain, shape, dtype, operation, mask, form)
    expected = exact(shape, dtype, operation, mask, approximate)
    return {name: error(results[name], expected[name]) for name in expected}


def error(actual, expected):
    assert tuple(actual.shape) == expected.shape
    difference = tf.cast(actual, tf.float64).numpy() - expected
    return np.abs(difference).max(initial=0)


def check_rule(
    shape, dtype, operation, mask, approximate, form, keep, roundings=1
):
    arguments = (shape, dtype, operation, mask)
    results = run(native(approximate, keep), *arguments, form)
    check_results(results, *arguments, approximate, form, roundings)


def check_results(
    results, shape, dtype, operation, mask, approximate, form, roundings=1
):
    """The rule; the floor is so many roundings where it is not float32's."""
    arguments = (shape, dtype, operation, mask)
    expected = exact(*arguments, approximate)
    plain = plain_errors(*arguments, approximate, form)
    assert results.keys() == expected.keys()
    floor = FLOOR[operand_dtype(dtype)]
    if dtype != "float32":
        floor *= roundings
    for name, result in results.items():
        allowed = floor * np.abs(expected[name]).max(initial=0)
        # As flash-attention has it: the plain version's largest error is one
        # of a few thousand draws, and can be small by luck.
        bound = 2 * plain[name] + allowed
        assert error(result, expected[name]) <= bound, name


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("number", "arguments"),
    list(enumerate(GRID)),
    ids=["-".join(map(str, arguments)) for arguments in GRID],
)
def test_every_combination(variant, number, arguments, monkeypatch):
    force_variant(monkeypatch, variant)
    dtype, form, operation, keep, approximate = arguments
    # Both run through all their values: their numbers have no common factor
    # with the distance of one combination to the next of its kind.
    shape = SHAPES[number % 13]
    mask = MASKS[(number * 3 + number // 4) % 4]
    check_rule(shape, dtype, operation, mask, approximate, form, keep)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape(variant, dtype, shape, monkeypatch):
    force_variant(monkeypatch, variant)
    number = SHAPES.index(shape) + DTYPES.index(dtype)
    check_rule(
        shape,
        dtype,
        operation=OPERATIONS[number % 3],
        mask=MASKS[number % 4],
        approximate=False,
        form=FORMS[number % 2],
        keep=KEEP[number // 2 % 2],
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_mask(variant, mask, operation, monkeypatch):
    force_variant(monkeypatch, variant)
    check_rule(
        (11, 67, 3, 13, 5, 2),
        "float32",
        operation,
        mask,
        False,
        "list",
        "stash",
    )


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_stash_of_float32(variant, operation, monkeypatch):
    force_variant(monkeypatch, variant)
    arguments = ((2, 19, 7, 127, 31, 2), "float32", operation, "ragged")
    results = run(native(False, "bfloat16"), *arguments, "stacked")
    expected = exact(*arguments, False)
    stash = run(native(False, "stash"), *arguments, "stacked")
    np.testing.assert_array_equal(results["output"], stash["output"])
    for name in expected.keys() - {"output"}:
        difference = np.linalg.norm(results[name] - expected[name])
        # Z is rounded once, by at most 2**-9 of itself.
        assert difference < 2**-8 * np.linalg.norm(expected[name])
        assert difference > error(stash[name], expected[name])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_kernel_is_rounded_to_the_type_of_the_operands(
    variant, dtype, monkeypatch
):
    force_variant(monkeypatch, variant)
    random = np.random.default_rng(0)
    hidden_states = tf.constant(random.integers(-9, 9, (2, 3, 2, 65)), dtype)
    if dtype == "int8":
        hidden_states = (hidden_states, tf.ones((2, 3, 2)) / 9)
    kernel = tf.constant(random.normal(size=(65, 5)), tf.float32)
    rounded = tf.cast(tf.cast(kernel, operand_dtype(dtype)), tf.float32)
    assert (kernel != rounded).numpy().any()

    def outputs(kernel):
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            output = linear_pooling(
                hidden_states,
                kernel,
                None,
                compute_dtype="float32",
                implementation="native",
            )
        return output, tape.gradient(output, kernel)

    for actual, expected in zip(outputs(kernel), outputs(rounded), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_the_result(dtype, compute_dtype):
    require_native()
    shape = (2, 17, 13, 11, 7, 3)
    case, mask, _ = make_case(shape, dtype, "pooling", "ragged")
    hidden_states = tf.constant(case["hidden_states"], dtype)
    if dtype == "int8":
        hidden_states = (hidden_states, tf.constant(case["scales"], tf.float32))
    output = linear_pooling(
        hidden_states,
        tf.constant(case["kernel"], tf.float32),
        tf.constant(case["bias"], tf.float32),
        mask=mask,
        compute_dtype=compute_dtype,
        implementation="native",
    )
    assert output.dtype == compute_dtype
    expected = exact(shape, dtype, "pooling", "ragged", False)["output"]
    rounding = max(ROUNDING[compute_dtype], FLOOR["float32"])
    if dtype == "float32" and compute_dtype != "float32":
        # Hidden states and kernel are rounded too.
        rounding *= 4
    assert error(output, expected) <= rounding * np.abs(expected).max()
