"""The parity grid: shapes, choices, cases and what they give in float64.

Nothing here needs TensorFlow: tools/gpu_check runs it where there is none.
"""

import functools
import itertools
import zlib

import numpy as np

from tests.ops import float64_reference

# batch, tokens, layers, features, units, outputs: primes, one above and one
# below powers of two, the widths of known encoders, more rows than one piece
# of work takes, and sums that are too large for the cache.
SHAPES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 1, 5, 1, 2),
    (3, 1, 2, 7, 3, 2),
    (2, 17, 13, 11, 7, 3),
    (1, 31, 3, 33, 17, 5),
    (2, 33, 5, 31, 15, 1),
    (3, 7, 2, 65, 16, 2),
    (2, 13, 3, 63, 65, 7),
    (2, 19, 7, 127, 31, 2),
    (5, 29, 2, 129, 33, 3),
    (2, 9, 3, 768, 64, 2),
    (1, 11, 2, 384, 16, 3),
    (1, 5, 2, 1024, 19, 2),
    (11, 67, 3, 13, 5, 2),
    (5, 43, 7, 96, 386, 2),
]
DTYPES = ("float32", "bfloat16", "float16", "int8")
FORMS = ("stacked", "list")
OPERATIONS = ("pooling", "shared", "per position")
MASKS = (None, "ragged", "holes", "lengths")
KEEP = ("stash", "recompute")
FLOOR = {"float32": 4 * 2.0**-23, "bfloat16": 2.0**-8, "float16": 2.0**-11}
# Besides those of the CPU's grid: units of two blocks, features that fill 16
# bytes, as many layers as there may be, more tiles than there are chunks.
MORE_SHAPES = [
    (3, 20, 13, 48, 128, 2),
    (2, 11, 2, 32, 129, 2),
    (1, 3, 64, 16, 8, 1),
    (30, 3, 9, 32, 16, 1),
    (2, 150, 64, 8, 3, 2),
]
# Units that the models have; more outputs than a thread holds at a time.
WIDE = [(2, 5, 3, 33, 256, 2), (3, 4, 2, 16, 384, 7), (2, 70, 13, 8, 200, 1)]
# The products' gradient is rounded to the type of the products, and so is
# what matmul makes of it, as in the plain version.
ROUNDINGS = 2

GRID = list(itertools.product(DTYPES, FORMS, OPERATIONS, KEEP, (False, True)))


def rounded(values, dtype):
    """Values as a type holds them, in float64.

    Args:
        values: array of numbers.
        dtype: string. `"float32"`, `"bfloat16"`, `"float16"` or `"int8"`.
    """
    if dtype != "bfloat16":
        return np.asarray(values).astype(dtype).astype(np.float64)
    return from_bfloat16(to_bfloat16(values)).astype(np.float64)


def to_bfloat16(values):
    """The bits of bfloat16, nearest or even, as uint16; NaN stays one."""
    values = np.asarray(values).astype(np.float32)
    bits = np.ascontiguousarray(values).view(np.uint32)
    nearest = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    return np.where(np.isnan(values), 0x7FC0, nearest).astype(np.uint16)


def from_bfloat16(bits):
    """float32 values of bfloat16's bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def operand_dtype(dtype):
    return "bfloat16" if dtype == "int8" else dtype


@functools.lru_cache(maxsize=256)
def make_case(shape, dtype, operation, mask):
    """Arrays in float64 that the operands' types hold exactly, and a mask."""
    batch, tokens, layers, features, units, outputs = shape
    random = np.random.default_rng(zlib.crc32(repr(shape).encode()))
    case = {}
    hidden_states = random.normal(size=(batch, tokens, layers, features))
    if dtype == "int8":
        scales = np.abs(hidden_states).max(axis=-1) / 127
        case["scales"] = rounded(scales, "float32")
        hidden_states = np.rint(hidden_states / scales[..., None])
    case["hidden_states"] = rounded(hidden_states, dtype)
    kernel = random.normal(size=(features, units)) / features**0.5
    case["kernel"] = rounded(kernel, operand_dtype(dtype))
    case["bias"] = rounded(random.normal(size=units), "float32")
    if operation != "pooling":
        positions = (tokens + 2,) if operation == "per position" else ()
        projection = random.normal(size=(*positions, layers, units, outputs))
        case["projection"] = rounded(projection, "float32")
    lengths = random.integers(0, tokens + 1, size=batch)
    masks = {
        None: np.ones((batch, tokens), bool),
        "ragged": np.arange(tokens) < lengths[:, None],
        "lengths": np.arange(tokens) < lengths[:, None],
        "holes": random.random(size=(batch, tokens)) < 0.5,
    }
    output_shape = (
        (batch, tokens, layers, units)
        if operation == "pooling"
        else (batch, tokens, outputs)
    )
    gradient_dtype = (
        operand_dtype(dtype) if operation == "pooling" else "float32"
    )
    case["output_gradient"] = rounded(
        random.normal(size=output_shape), gradient_dtype
    )
    return case, masks[mask], lengths


@functools.lru_cache(maxsize=256)
def exact(shape, dtype, operation, mask, approximate):
    """Output and gradients in float64: W, b, V and, but for int8, H."""
    case, mask_array, _ = make_case(shape, dtype, operation, mask)
    hidden_states = case["hidden_states"]
    if dtype == "int8":
        hidden_states = hidden_states * case["scales"][..., None]
    arguments = [hidden_states, case["kernel"], case["bias"]]
    if operation == "pooling":
        forward = float64_reference.linear_pooling
        backward = float64_reference.linear_pooling_gradients
    else:
        arguments.append(case["projection"])
        forward = float64_reference.linear_pooling_projection
        backward = float64_reference.linear_pooling_projection_gradients
    arguments += [mask_array, approximate]
    output = forward(*arguments)
    by_h, *by_weights = backward(*arguments, case["output_gradient"])
    return named([output, *by_weights, None if dtype == "int8" else by_h])


def named(arrays):
    """By name; without a projection V is missing, and H is the last."""
    *others, by_h = arrays
    results = dict(zip(("output", "W", "b", "V"), others, strict=False))
    if by_h is not None:
        results["H"] = by_h
    return results


def of_grid(number):
    dtype, form, operation, keep, approximate = GRID[number]
    shape = SHAPES[number % 13]
    mask = MASKS[(number * 3 + number // 4) % 4]
    return shape, dtype, operation, mask, approximate, form, keep


def of_shapes(shape, dtype):
    number = (SHAPES + MORE_SHAPES).index(shape) + DTYPES.index(dtype)
    return (
        shape,
        dtype,
        ("pooling", "shared", "per position")[number % 3],
        MASKS[number % 4],
        number % 2 == 0,
        ("stacked", "list")[number % 2],
        ("stash", "recompute")[number // 2 % 2],
    )
