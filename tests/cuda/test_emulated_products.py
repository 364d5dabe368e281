"""The kernels that follow TensorFlow's matmul, on the emulated GPU.

The same shapes, choices and error rule as tests/ops/test_native_parity.py;
product and gradients of W and H are those of bvkeras.ops.native_of_products.
"""

import ctypes
import functools

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.ops import native_of_products
from tests.cuda.emulation import build
from tests.cuda.test_emulated_parity import label, numpy_dtype
from tests.ops.parity_cases import (
    DTYPES,
    GRID,
    MORE_SHAPES,
    ROUNDINGS,
    SHAPES,
    WIDE,
    make_case,
    named,
    of_grid,
    of_shapes,
    operand_dtype,
)
from tests.ops.test_native_parity import check_results

# As kernels/linear_pooling.h numbers them.
_NUMBERS = {"float32": 0, "bfloat16": 1, "float16": 2, "int8": 3}
_SIZES = [
    "batch",
    "tokens",
    "layers",
    "features",
    "units",
    "outputs",
    "positions",
]
_CHOICES = ["dtype", "pooled_dtype", "stacked", "approximate"]
_ARRAYS = [
    "products",
    "scales",
    "mask",
    "lengths",
    "bias",
    "projection",
    "output_gradient",
]


class Call(ctypes.Structure):
    """What kernels/tests/of_products.cc takes; arrays are addresses."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_int32) for name in _CHOICES),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
        ("seed", ctypes.c_uint64),
    )


@functools.cache
def emulated_gpu():
    return ctypes.CDLL(str(build("of_products") / "libof_products.so"))


def addresses(arrays):
    return (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))


def emulated(shape, dtype, operation, mask, approximate, form, seed):
    """Output and gradients by name, as the grid's own `run` gives them."""
    case, mask_array, lengths = make_case(shape, dtype, operation, mask)
    stacked = form == "stacked"

    def split(array):
        layers = [array] if stacked else np.moveaxis(array, 2, 0)
        return [np.ascontiguousarray(layer) for layer in layers]

    hidden_states = [
        tf.constant(layer, dtype) for layer in split(case["hidden_states"])
    ]
    kernel = tf.constant(case["kernel"], tf.float32)
    products = [
        np.ascontiguousarray(product)
        for product in native_of_products.products_of(hidden_states, kernel)
    ]
    type_ = numpy_dtype(operand_dtype(dtype))
    result_type = type_ if operation == "pooling" else np.dtype("f")
    arrays = {
        "bias": case["bias"].astype("f"),
        "output_gradient": case["output_gradient"].astype(result_type),
    }
    pointers = {"products": addresses(products)}
    if dtype == "int8":
        scales = split(case["scales"].astype("f"))
        pointers["scales"] = addresses(scales)
    valid = tf.constant(True)
    if mask == "lengths":
        arrays["lengths"] = lengths.astype("int64")
        valid = tf.constant(arrays["lengths"])
    elif mask is not None:
        arrays["mask"] = np.ascontiguousarray(mask_array)
        valid = tf.constant(mask_array)
    outputs = positions = 0
    if operation != "pooling":
        arrays["projection"] = case["projection"].astype("f")
        outputs = shape[-1]
    if operation == "per position":
        positions = len(case["projection"])
    call = Call(
        *shape[:5],
        *(outputs, positions, _NUMBERS[dtype], _NUMBERS[operand_dtype(dtype)]),
        *(stacked, approximate),
        **{name: array.ctypes.data for name, array in arrays.items()},
        **{
            name: ctypes.cast(pointer, ctypes.c_void_p)
            for name, pointer in pointers.items()
        },
        seed=seed,
    )

    def empty(shape, dtype="f"):
        # Nothing may be left as it was.
        return np.full(shape, np.nan, dtype)

    output = empty(case["output_gradient"].shape, result_type)
    emulated_gpu().forward(ctypes.byref(call), output.ctypes)
    gradients = [empty(product.shape, type_) for product in products]
    by_bias = empty(shape[4])
    by_projection = empty(case["projection"].shape if outputs else 0)
    emulated_gpu().backward(
        ctypes.byref(call),
        addresses(gradients),
        by_bias.ctypes,
        by_projection.ctypes,
    )
    gradients = [tf.constant(gradient) for gradient in gradients]
    results = [
        output,
        native_of_products.kernel_gradient(hidden_states, valid, gradients),
        by_bias,
        *([by_projection] if outputs else []),
    ]
    by_h = None
    if dtype != "int8":
        layers = native_of_products.hidden_states_gradient(
            hidden_states, kernel, gradients
        )
        by_h = layers[0] if stacked else tf.stack(layers, axis=2)
    return named([np.asarray(result) for result in results] + [by_h])


def check(shape, dtype, operation, mask, approximate, form, seeds):
    arguments = (shape, dtype, operation, mask, approximate, form)
    first = None
    for seed in seeds:
        results = emulated(*arguments, seed)
        check_results(results, *arguments, ROUNDINGS)
        bits = {
            name: np.asarray(array).tobytes() for name, array in results.items()
        }
        assert bits == (first or bits)
        first = bits


# What is kept makes no difference here. 7 has no factor in common with the
# grid's size.
@pytest.mark.parametrize("number", range(0, len(GRID), 7), ids=label)
def test_some_combinations(number):
    check(*of_grid(number)[:-1], seeds=(number,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", WIDE, ids=str)
def test_many_units(shape, dtype):
    number = WIDE.index(shape) + DTYPES.index(dtype)
    operation = ("pooling", "shared", "per position")[number % 3]
    check(shape, dtype, operation, "holes", False, "list", seeds=(1,))


@pytest.mark.full
@pytest.mark.parametrize("number", range(len(GRID)), ids=label)
def test_every_combination(number):
    check(*of_grid(number)[:-1], seeds=(0, 1, number + 2))


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + MORE_SHAPES, ids=str)
def test_every_shape(shape, dtype):
    check(*of_shapes(shape, dtype)[:-1], seeds=(0, 1, 5))


@pytest.mark.full
@pytest.mark.parametrize("operation", ["pooling", "shared", "per position"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", WIDE, ids=str)
def test_every_operation_of_many_units(shape, dtype, operation):
    for form, mask in (("stacked", "lengths"), ("list", None)):
        check(shape, dtype, operation, mask, True, form, seeds=(0, 1, 9))
