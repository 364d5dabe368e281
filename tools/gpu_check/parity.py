"""The parity grid through ctypes, with float64 as the judge.

Shapes, choices and cases are those of tests/ops/parity_cases.py, and so is the
rule: an error against float64 of at most twice that of the plain computation in
the same type, which is done here in numpy, step by step as
`bvkeras.ops.reference` does it. Padded tokens hold NaN.
"""

import ctypes
import dataclasses
import os
from collections.abc import Iterator

import numpy as np

from tests.ops import parity_cases
from tests.ops.float64_reference import gelu, gelu_derivative
from tests.ops.parity_cases import operand_dtype, rounded
from tools.gpu_check.library import (
    DTYPES,
    PASSES,
    STASHES,
    Call,
    KernelError,
    Library,
    addresses,
)

# Nothing to do: no batch, no tokens. A mask without a real token comes with
# every shape.
EMPTY = [(0, 5, 2, 7, 3, 2), (3, 0, 2, 7, 3, 2), (0, 3, 2, 16, 200, 2)]
_MOST_FLOAT16 = 65504.0


@dataclasses.dataclass(frozen=True)
class Choice:
    """One cell of the grid.

    Attributes:
        shape: tuple. batch, tokens, layers, features, units, outputs.
        dtype: string. Of the hidden states.
        operation: string. `"pooling"`, `"shared"` or `"per position"`.
        mask: string or `None`. `"ragged"`, `"lengths"`, `"holes"`, `"none"`
            (no token is real), or `None`: all are.
        approximate: bool. GELU by tanh.
        form: string. `"stacked"` or `"list"`.
        keep: string. `"stash"` or `"recompute"`.
        of_products: bool. Whether the products H W come from elsewhere.
    """

    shape: tuple[int, ...]
    dtype: str
    operation: str
    mask: str | None
    approximate: bool
    form: str
    keep: str
    of_products: bool = False

    def __str__(self) -> str:
        parts = [str(self.shape), self.dtype, self.operation]
        parts += [f"mask {self.mask}", "tanh" if self.approximate else "erf"]
        parts += [self.form, self.keep]
        return "; ".join(parts + ["of products"] * self.of_products)


def choices(small: bool) -> Iterator[Choice]:
    """The grid.

    Args:
        small: bool. Whether only a part of it, for the emulated GPU.
    """
    grid = range(0, len(parity_cases.GRID), 11 if small else 1)
    for number in grid:
        cell = parity_cases.of_grid(number)
        yield Choice(*cell)
        yield Choice(*cell, of_products=True)
    shapes = parity_cases.SHAPES + parity_cases.MORE_SHAPES
    for shape in shapes[1:10:3] if small else shapes:
        for dtype in parity_cases.DTYPES:
            cell = parity_cases.of_shapes(shape, dtype)
            yield Choice(*cell)
            yield Choice(*cell, of_products=True)
    operations = parity_cases.OPERATIONS
    for number, shape in enumerate(parity_cases.WIDE[: 1 if small else None]):
        for dtype in parity_cases.DTYPES:
            for operation in operations[number:][:1] if small else operations:
                yield Choice(
                    *(shape, dtype, operation, "holes", False, "list"),
                    "recompute",
                    of_products=True,
                )
    shape = parity_cases.SHAPES[4]
    for empty, mask in [*((shape, None) for shape in EMPTY), (shape, "none")]:
        for number, dtype in enumerate(parity_cases.DTYPES):
            form = parity_cases.FORMS[number % 2]
            for of_products in (False, True):
                yield Choice(
                    *(empty, dtype, operations[number % 3], mask),
                    *(False, form, "stash", of_products),
                )


def check(library: Library, choice: Choice) -> list[dict]:
    """Judges one cell.

    Args:
        library: Library.
        choice: Choice.

    Returns:
        A row for the output and for every gradient: `choice`, `result`,
        `error`, `plain_error`, `bound` and `verdict`, `"ok"` or what is wrong.
    """
    try:
        results = _results(library, choice, seed=0)
        again = _results(library, choice, seed=3)
    except KernelError as error:
        return [{"choice": str(choice), "result": "all", "verdict": str(error)}]
    case, mask = _case(choice)
    expected = _exact(choice, case, mask)
    plain = _plain(choice, case, mask)
    floor = parity_cases.FLOOR[operand_dtype(choice.dtype)]
    if choice.dtype != "float32" and choice.of_products:
        floor *= parity_cases.ROUNDINGS
    rows = []
    for name, exact in expected.items():
        bits, values = results[name]
        allowed = floor * np.abs(exact).max(initial=0)
        plain_error = np.abs(plain[name] - exact).max(initial=0)
        error = np.abs(values - exact).max(initial=0)
        bound = 2 * plain_error + allowed
        verdict = "ok"
        # A NaN is within no bound.
        if not error <= bound:
            verdict = "beyond the bound"
        elif bits != again[name][0]:
            verdict = "other bits the second time"
        rows.append(
            {
                "choice": str(choice),
                "result": name,
                "error": error,
                "plain_error": plain_error,
                "bound": bound,
                "verdict": verdict,
            }
        )
    return rows


def store(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values as they lie in memory; bfloat16 as uint16."""
    if dtype == "bfloat16":
        return parity_cases.to_bfloat16(values)
    return np.ascontiguousarray(values.astype(dtype))


def load(stored: np.ndarray, dtype: str) -> np.ndarray:
    """What `store` stored, in float64."""
    if dtype == "bfloat16":
        stored = parity_cases.from_bfloat16(stored)
    return stored.astype(np.float64)


def _case(choice):
    mask = None if choice.mask == "none" else choice.mask
    case, array, _ = parity_cases.make_case(
        choice.shape, choice.dtype, choice.operation, mask
    )
    return case, np.zeros_like(array) if choice.mask == "none" else array


def _exact(choice, case, mask):
    if choice.mask != "none":
        return parity_cases.exact(
            *(choice.shape, choice.dtype, choice.operation, choice.mask),
            choice.approximate,
        )
    names = {"output": "output_gradient", "W": "kernel", "b": "bias"}
    names |= {"V": "projection", "H": "hidden_states"}
    if choice.dtype == "int8":
        del names["H"]
    return {
        name: np.zeros_like(case[of])
        for name, of in names.items()
        if of in case
    }


def _results(library, choice, seed):
    """Bytes, and values in float64, of the output and every gradient."""
    os.environ["BVKERAS_EMULATION_SEED"] = str(seed)
    case, mask = _case(choice)
    operand = operand_dtype(choice.dtype)
    pooled = operand if choice.operation == "pooling" else "float32"
    stacked = choice.form == "stacked"

    def padded(values):
        # Nothing may come of what stands at padded tokens.
        holes = mask.reshape(mask.shape + (1,) * (values.ndim - 2))
        return np.where(holes, values, np.nan)

    def layers(values, dtype):
        parts = [values] if stacked else np.moveaxis(values, 2, 0)
        return [store(part, dtype) for part in parts]

    hidden = case["hidden_states"]
    hidden_states = layers(
        hidden if choice.dtype == "int8" else padded(hidden), choice.dtype
    )
    arrays = {
        "kernel": store(case["kernel"], "float32"),
        "bias": store(case["bias"], "float32"),
        "output_gradient": store(padded(case["output_gradient"]), pooled),
    }
    if choice.mask == "lengths":
        arrays["lengths"] = mask.sum(axis=1).astype(np.int64)
    elif choice.mask is not None:
        arrays["mask"] = np.ascontiguousarray(mask)
    outputs = positions = 0
    if "projection" in case:
        arrays["projection"] = store(case["projection"], "float32")
        outputs = choice.shape[-1]
    if choice.operation == "per position":
        positions = len(case["projection"])

    def unwritten(shape, dtype="float32"):
        return store(np.full(shape, np.nan), dtype)

    arrays["output"] = unwritten(case["output_gradient"].shape, pooled)
    arrays["bias_gradient"] = unwritten(case["bias"].shape)
    arrays["kernel_gradient"] = unwritten(case["kernel"].shape)
    if outputs:
        arrays["projection_gradient"] = unwritten(case["projection"].shape)
    call = Call(
        *(*choice.shape[:5], outputs, positions),
        *(DTYPES[choice.dtype], DTYPES[pooled]),
        STASHES[operand if choice.keep == "stash" else "none"],
        *(stacked, choice.approximate),
    )
    lists = {"hidden_states": hidden_states}
    if choice.dtype == "int8":
        lists["scales"] = layers(padded(case["scales"]), "float32")
    if choice.keep == "stash":
        size = library.stash_bytes(call)
        arrays["stash"] = np.full(size, 0xFF, np.uint8)
    if choice.of_products:
        products = _rounded_product(case["hidden_states"], case["kernel"])
        lists["products"] = layers(padded(rounded(products, operand)), operand)
        lists["gradients"] = layers(np.full_like(products, np.nan), operand)
        passes = ("forward of products", "backward of products")
    else:
        passes = ("forward", "backward")
        if choice.dtype != "int8":
            lists["gradients"] = layers(
                np.full_like(hidden, np.nan), choice.dtype
            )
            passes += ("backward of hidden states",)
    kept = {
        name: addresses([part.ctypes.data for part in parts])
        for name, parts in lists.items()
    }
    for name, array in arrays.items():
        setattr(call, name, array.ctypes.data if array.size else None)
    for name, pointers in kept.items():
        setattr(call, name, ctypes.addressof(pointers))
    for name in passes:
        call.pass_ = PASSES[name]
        library.run(call)

    found = {
        "output": (arrays["output"], pooled),
        "W": (arrays["kernel_gradient"], "float32"),
        "b": (arrays["bias_gradient"], "float32"),
    }
    if outputs:
        found["V"] = (arrays["projection_gradient"], "float32")
    results = {
        name: (array.tobytes(), load(array, dtype))
        for name, (array, dtype) in found.items()
    }
    if "gradients" not in lists:
        return results
    parts = lists["gradients"]
    by_layers = [load(part, operand) for part in parts]
    gradients = by_layers[0] if stacked else np.stack(by_layers, axis=2)
    bits = b"".join(part.tobytes() for part in parts)
    if not choice.of_products:
        return results | {"H": (bits, gradients)}
    # What matmul makes of the products' gradient.
    zeroed = np.where(mask[:, :, None, None], hidden, 0)
    by_kernel = np.einsum("btle,btla->ea", zeroed, gradients)
    results["W"] = (bits, rounded(by_kernel, operand))
    if choice.dtype != "int8":
        by_h = rounded(gradients @ case["kernel"].T, operand)
        results["H"] = (bits, by_h)
    return results


def _rounded_product(hidden, kernel):
    """H W in float32, as matmul adds it up."""
    return hidden.astype("f") @ kernel.astype("f")


def _plain(choice, case, mask):
    """The plain computation in the same type, by name, in numpy."""
    operand = operand_dtype(choice.dtype)
    holes = mask[:, :, None, None]
    hidden = case["hidden_states"]
    if choice.dtype == "int8":
        hidden = rounded(hidden * case["scales"][..., None], "bfloat16")
    hidden = np.where(holes, hidden, 0)
    product = rounded(_rounded_product(hidden, case["kernel"]), operand)
    if operand == "float16":
        product = np.clip(product, -_MOST_FLOAT16, _MOST_FLOAT16)
    z = product.astype("f") + case["bias"].astype("f")
    y = np.where(holes, _single(gelu, z, choice.approximate), np.float32(0))
    gradient = case["output_gradient"].astype("f")
    if choice.operation == "pooling":
        results = {"output": rounded(y, operand)}
        by_y = gradient
    else:
        tokens = choice.shape[1]
        projection = case["projection"].astype("f")
        by_token = projection[:tokens]
        if choice.operation == "shared":
            by_token = np.broadcast_to(projection, (tokens, *projection.shape))
        results = {"output": np.einsum("btla,tlac->btc", y, by_token)}
        by_y = np.einsum("btc,tlac->btla", gradient, by_token)
        by_projection = np.zeros_like(projection)
        if choice.operation == "shared":
            by_projection += np.einsum("btla,btc->lac", y, gradient)
        else:
            by_projection[:tokens] += np.einsum("btla,btc->tlac", y, gradient)
        results["V"] = by_projection
    slope = _single(gelu_derivative, z, choice.approximate)
    by_z = np.where(holes, by_y * slope, np.float32(0))
    results["b"] = by_z.sum((0, 1, 2), dtype="f")
    by_product = rounded(by_z, operand).astype("f")
    by_kernel = np.einsum("btle,btla->ea", hidden.astype("f"), by_product)
    results["W"] = rounded(by_kernel, operand)
    by_h = by_product @ case["kernel"].astype("f").T
    results["H"] = rounded(by_h, operand)
    return results


def _single(function, z, approximate):
    # GELU itself is exact here: the plain graph's is not better.
    return function(z.astype(np.float64), approximate).astype("f")
