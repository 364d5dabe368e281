"""Which implementation of linear pooling a call takes."""

import contextlib
import os
import sys
import threading
import types
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from bvkeras.errors import ArgumentError
from bvkeras.ops import library

IMPLEMENTATIONS = ("auto", "native", "reference")
ENVIRONMENT_VARIABLE = "BVKERAS_IMPLEMENTATION"

# A block of the CUDA kernels has room for so many.
MOST_KERNEL_UNITS = 128

# Modules under which functions are traced for a SavedModel, to be loaded
# where bvkeras may not be. Neither Keras nor TensorFlow says so otherwise:
# Keras traces before TensorFlow's own context of saving begins.
_EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.save")

_thread = threading.local()


@contextlib.contextmanager
def reference_only() -> Iterator[None]:
    """Within it, this thread takes the reference implementation.

    For tracing what must load without bvkeras. `model.export` needs no help:
    it is recognised.

    Example:
        ```python
        with reference_only():
            concrete = serve.get_concrete_function()
        ```
    """
    depth = getattr(_thread, "depth", 0)
    _thread.depth = depth + 1
    try:
        yield
    finally:
        _thread.depth = depth


def check_implementation(implementation: str) -> None:
    """Raises ArgumentError unless `implementation` is one there is."""
    _check("implementation", implementation)


def takes_native(implementation: str, dtype: tf.DType) -> bool:
    """Whether a call takes the native library.

    Args:
        implementation: string. `"auto"` takes what the environment variable
            BVKERAS_IMPLEMENTATION names; if that is not set or `"auto"` too,
            the native library where it is there and can run: on a CPU, and
            not inside a function that XLA compiles. `"native"` insists.
            Exports, `reference_only` and float64 always take the reference.
        dtype: tf.DType of the hidden states.

    Raises:
        ArgumentError: An unknown name, or `"native"` inside a function that
            XLA compiles.
        NativeLibraryError: `"native"`, and it cannot be used: not on this
            machine, or not by the driver of its GPU.
    """
    check_implementation(implementation)
    if implementation == "auto":
        implementation = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
        _check(ENVIRONMENT_VARIABLE, implementation)
    if implementation == "reference" or dtype == tf.float64:
        return False
    if getattr(_thread, "depth", 0):
        return False
    in_graph = not tf.executing_eagerly()
    if in_graph and _is_exporting():
        return False
    in_xla = in_graph and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )
    if implementation == "native":
        if in_xla:
            raise ArgumentError(
                "implementation: received 'native' inside a function compiled"
                " by XLA, which cannot call it; expected 'auto' or"
                " implementation='reference', or jit_compile=False"
            )
        library.load()
        if _has_gpu():
            library.check_driver()
        return True
    # The CUDA kernels have not been run on a GPU yet: there nobody gets them
    # who does not ask.
    return not in_xla and not _has_gpu() and library.is_available()


def takes_matmul(units: int | None) -> bool:
    """Whether a native call leaves the product to TensorFlow's matmul.

    On a GPU with CUDA kernels, and with so many units that products are what
    takes the time: the kernels then do what follows.

    Args:
        units: int, or `None` where that is not known yet.
    """
    return (
        (units or 0) > MOST_KERNEL_UNITS
        and _has_gpu()
        and library.gpu_problem() is None
    )


def _has_gpu() -> bool:
    return bool(tf.config.list_logical_devices("GPU"))


def takes_native_reading() -> bool:
    """Whether batches of a cache are made by the native library.

    That runs on the CPU whatever the model runs on. As for the pooling, the
    environment variable BVKERAS_IMPLEMENTATION can say `"reference"`.
    """
    implementation = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    _check(ENVIRONMENT_VARIABLE, implementation)
    return implementation != "reference" and library.is_available()


def _check(name: str, implementation: str) -> None:
    if implementation not in IMPLEMENTATIONS:
        raise ArgumentError(
            f"{name}: received {implementation!r}, expected one of"
            f" {IMPLEMENTATIONS}"
        )


def _is_exporting() -> bool:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_EXPORTERS):
            return True
        frame = frame.f_back
    return False
