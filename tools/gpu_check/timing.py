"""Both entry points, timed on a GPU against PyTorch.

Candidates take turns; each call is timed by itself, by the GPU's own events,
after a buffer larger than its caches has been written. Without a GPU the same
steps run once on small sizes, untimed.
"""

import importlib.util
import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.pooling.sizes import SHAPES, Shape
from tools.gpu_check.kernel_steps import KernelSteps
from tools.gpu_check.library import Library
from tools.gpu_check.operands import (
    Entry,
    HostArrays,
    TorchArrays,
    make_arrays,
)

# One block of the kernels' units, and what matmul is for.
SMALL_SHAPES = (
    Shape(2, 5, 3, 32, 16),
    Shape(1, 4, 2, 16, 136, per_position=False),
)
OPERATIONS = ("linear_pooling", "linear_pooling_projection")
DTYPES = ("bfloat16", "float32")
ROUNDS = 30
# As bvkeras.ops.implementation has it.
MOST_KERNEL_UNITS = 128
# Of the largest value: sums of a hundred thousand rows, rounded.
_FARTHEST = {"float32": 1e-3, "bfloat16": 5e-2}
_FLUSHED_BYTES = 512 << 20
_COPIED_BYTES = 2 << 30


def entries(small: bool) -> list[Entry]:
    """What is timed, bfloat16 first."""
    return [
        Entry(operation, shape, dtype)
        for dtype in DTYPES
        for shape in (SMALL_SHAPES if small else SHAPES)
        for operation in OPERATIONS
    ]


def dry_run(library: Library, entry: Entry) -> list[dict]:
    """Runs the steps once on the emulated GPU, against float64.

    PyTorch's too, on the CPU, where it is installed.

    Args:
        library: Library.
        entry: Entry.

    Returns:
        A row for each candidate: `entry`, `candidate`, `difference`,
        `verdict`.
    """
    values = make_arrays(entry)
    expected = _float64(entry, values)
    rows = []
    candidates = list(_kernel_steps(library, entry, values, HostArrays()))
    if importlib.util.find_spec("torch") is not None:
        from tools.gpu_check.torch_steps import TorchSteps

        arrays = TorchArrays("cpu")
        for name, steps in _kernel_steps(library, entry, values, arrays):
            candidates.append((f"{name}, PyTorch's memory", steps))
        eager = TorchSteps(entry, values, compiled=False, device="cpu")
        candidates.append(("PyTorch eager", eager))
    for name, steps in candidates:
        steps.forward()
        steps.backward()
        rows.append(_judged(entry, name, steps.results(), expected))
    return rows


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a copy on the GPU."""
    import torch

    source = torch.empty(_COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    source.zero_()
    seconds = [_seconds(lambda: target.copy_(source)) for _ in range(12)]
    return 2 * _COPIED_BYTES / statistics.median(seconds[2:])


def time_entry(
    library: Library,
    entry: Entry,
    bandwidth: float,
    compile_until: float,
) -> list[dict]:
    """Times every candidate, both passes.

    Args:
        library: Library.
        entry: Entry.
        bandwidth: float. What `copy_bandwidth` returned.
        compile_until: float. Of `time.monotonic`: later nothing is compiled
            by PyTorch any more.

    Returns:
        A row for each candidate and pass: `entry`, `candidate`, `pass`,
        `median_us`, `least_us`, `gigabytes_per_second`, `share_of_copy`,
        `difference` from eager PyTorch in float32, and `verdict`.
    """
    import torch

    from tools.gpu_check.torch_steps import TorchSteps

    values = make_arrays(entry)
    exact = TorchSteps(
        Entry(entry.operation, entry.shape, "float32"), values, False
    )
    exact.forward()
    exact.backward()
    expected = exact.results()
    del exact
    candidates = dict(_kernel_steps(library, entry, values, TorchArrays()))
    candidates["PyTorch eager"] = TorchSteps(entry, values, compiled=False)
    rows = []
    if time.monotonic() < compile_until:
        candidates["PyTorch compiled"] = TorchSteps(
            entry, values, compiled=True
        )
    else:
        rows.append(_left_out(entry, "PyTorch compiled", "no time left"))
    for name in list(candidates):
        try:
            for _ in range(3):
                candidates[name].forward()
                candidates[name].backward()
            torch.cuda.synchronize()
        # torch.compile fails in many ways where a part of it is missing.
        except Exception as error:
            if name != "PyTorch compiled":
                raise
            del candidates[name]
            line = str(error).strip().splitlines() or [type(error).__name__]
            rows.append(_left_out(entry, name, line[0][:200]))
    flushed = torch.empty(_FLUSHED_BYTES, dtype=torch.uint8, device="cuda")
    seconds = {
        (name, pass_): []
        for name in candidates
        for pass_ in ("forward", "backward")
    }
    for _ in range(ROUNDS):
        for (name, pass_), taken in seconds.items():
            flushed.zero_()
            taken.append(_seconds(getattr(candidates[name], pass_)))
    for name, steps in candidates.items():
        judged = _judged(entry, name, steps.results(), expected)
        if name.startswith("PyTorch"):
            judged["verdict"] = "ok"
        for pass_ in ("forward", "backward"):
            taken = seconds[name, pass_]
            median = statistics.median(taken)
            rows.append(
                {
                    **judged,
                    "pass": pass_,
                    "median_us": round(median * 1e6, 1),
                    "least_us": round(min(taken) * 1e6, 1),
                    "gigabytes_per_second": round(
                        entry.least_bytes / median / 1e9, 1
                    ),
                    "share_of_copy": round(
                        entry.least_bytes / median / bandwidth, 3
                    ),
                }
            )
    return rows


def _kernel_steps(library, entry, values, arrays) -> Iterator:
    yield "kernels", KernelSteps(library, entry, values, arrays, False)
    if entry.shape.units > MOST_KERNEL_UNITS:
        steps = KernelSteps(library, entry, values, arrays, True)
        yield "matmul and kernels", steps


def _seconds(function):
    """By events before and after, so without what ran before."""
    import torch

    began = torch.cuda.Event(enable_timing=True)
    ended = torch.cuda.Event(enable_timing=True)
    began.record()
    function()
    ended.record()
    torch.cuda.synchronize()
    return began.elapsed_time(ended) / 1e3


def _float64(entry, values):
    from tests.ops import float64_reference as reference

    values = {name: array.astype("d") for name, array in values.items()}
    mask = np.ones(values["hidden_states"].shape[:2])
    inputs = [values[name] for name in ("hidden_states", "kernel", "bias")]
    if entry.projects:
        inputs.append(values["projection"])
        forward = reference.linear_pooling_projection
        backward = reference.linear_pooling_projection_gradients
    else:
        forward = reference.linear_pooling
        backward = reference.linear_pooling_gradients
    inputs += [mask, False]
    _, *gradients = backward(*inputs, values["output_gradient"])
    names = ("output", "W", "b", "V")
    return dict(zip(names, (forward(*inputs), *gradients), strict=False))


def _judged(entry, name, results, expected):
    difference = max(
        np.abs(results[key] - expected[key]).max() / np.abs(expected[key]).max()
        for key in expected
    )
    good = difference <= _FARTHEST[entry.dtype]
    return {
        "entry": str(entry),
        "candidate": name,
        "difference": float(f"{difference:.2g}"),
        "verdict": "ok" if good else "far from the expected result",
    }


def _left_out(entry, name, reason):
    return {
        "entry": str(entry),
        "candidate": name,
        "verdict": f"left out: {reason}",
    }
