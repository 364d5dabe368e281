"""The parity grid of the CPU's kernels, on the emulated GPU.

The same shapes, choices and error rule as tests/ops/test_native_parity.py:
the error against float64 is at most twice plain TensorFlow's.
"""

import functools

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulation import load_module
from tests.ops import empty_work
from tests.ops.parity_cases import (
    DTYPES,
    GRID,
    MORE_SHAPES,
    SHAPES,
    make_case,
    named,
    of_grid,
    of_shapes,
    operand_dtype,
)
from tests.ops.test_native_parity import check_results

# Of a GPU with tensor cores for bfloat16, and of one without.
GPUS = ("plain", "sm75")


@functools.cache
def module(gpu):
    return load_module(gpu)


def numpy_dtype(dtype):
    return ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype


def emulated(
    kernels, shape, dtype, operation, mask, approximate, form, keep, seed
):
    """Output and gradients by name, as the grid's own `run` gives them."""
    case, mask_array, lengths = make_case(shape, dtype, operation, mask)
    hidden_states = case["hidden_states"].astype(numpy_dtype(dtype))
    scales = case.get("scales")
    scales = scales if scales is None else scales.astype("float32")
    if form == "list":
        split = functools.partial(np.moveaxis, source=2, destination=0)
        hidden_states = list(split(hidden_states))
        scales = scales if scales is None else list(split(scales))
    result_dtype = "float32" if operation != "pooling" else operand_dtype(dtype)
    arguments = {
        "scales": scales,
        "approximate": approximate,
        "dtype": operand_dtype(dtype),
        "stash_type": operand_dtype(dtype) if keep == "stash" else "none",
    }
    if mask == "lengths":
        arguments["lengths"] = lengths
    elif mask is not None:
        arguments["mask"] = mask_array
    if "projection" in case:
        arguments["projection"] = case["projection"].astype("float32")
    inputs = (
        hidden_states,
        case["kernel"].astype("float32"),
        case["bias"].astype("float32"),
    )
    gradient = case["output_gradient"].astype(numpy_dtype(result_dtype))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BVKERAS_EMULATION_SEED", str(seed))
        output, stash = kernels.forward(*inputs, **arguments)
        backward = (*inputs, gradient, stash)
        by_weights = kernels.backward(*backward, **arguments)
        by_h = None
        if dtype != "int8":
            by_h = kernels.backward_hidden_states(*backward, **arguments)
            if form == "list":
                by_h = np.stack(by_h, axis=2)
    arrays = [array for array in by_weights if array is not None]
    return named([output, *arrays, by_h])


def check(gpu, shape, dtype, operation, mask, approximate, form, keep, seeds):
    arguments = (shape, dtype, operation, mask, approximate, form)
    first = None
    for seed in seeds:
        results = emulated(module(gpu), *arguments, keep, seed)
        check_results(results, *arguments)
        bits = {name: array.tobytes() for name, array in results.items()}
        assert bits == (first or bits)
        first = bits


def label(number):
    return "-".join(map(str, GRID[number]))


# 5 has no factor in common with the grid's size: types, forms, operations and
# shapes all come.
@pytest.mark.parametrize("number", range(0, len(GRID), 5), ids=label)
def test_some_combinations(number):
    check("plain", *of_grid(number), seeds=(number,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", MORE_SHAPES, ids=str)
def test_more_shapes(shape, dtype):
    check("plain", *of_shapes(shape, dtype), seeds=(1,))


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_far_from_zero(dtype, approximate):
    values = np.array([-120.0, -30, -9, -1, 0, 1, 9, 30, 120])
    hidden_states = np.ones((1, 9, 1, 1)).astype(numpy_dtype(dtype))
    hidden_states[0, :, 0, 0] = values
    arguments = {"approximate": approximate}
    if dtype == "int8":
        arguments["scales"] = np.ones((1, 9, 1), "f")
    inputs = (hidden_states, np.ones((1, 1), "f"), np.zeros(1, "f"))
    kernels = module("plain")
    output, stash = kernels.forward(*inputs, **arguments)
    expected = np.where(values > 0, values, 0)
    np.testing.assert_allclose(output[0, :, 0, 0], expected, atol=0.2)
    for result in kernels.backward(
        *inputs, np.ones_like(output), stash, **arguments
    )[:2]:
        assert np.isfinite(result).all()


def test_empty_work():
    assert empty_work.check_numpy(module("plain")) > 0


@pytest.mark.full
@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("number", range(len(GRID)), ids=label)
def test_every_combination(gpu, number):
    check(gpu, *of_grid(number), seeds=(0, 1, number + 2))


@pytest.mark.full
@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + MORE_SHAPES, ids=str)
def test_every_shape(gpu, shape, dtype):
    check(gpu, *of_shapes(shape, dtype), seeds=(0, 1, 5))
