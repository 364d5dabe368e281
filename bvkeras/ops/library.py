"""The native library: found, checked by its stamp, and only then loaded.

A TensorFlow operation works with the TensorFlow it was compiled against, and
loading one that was not can end the process. So the build leaves a stamp
beside the library, and nothing is loaded whose stamp does not fit.
"""

import ctypes
import functools
import importlib
import os
import pathlib
import platform
from types import ModuleType
from typing import Any

import tensorflow as tf

from bvkeras import _native, fileio
from bvkeras.errors import NativeLibraryError
from bvkeras.schema import COUNT, TEXT, record_of

# That of kernels/linear_pooling.h.
CONTRACT_VERSION = 7

BUILD_COMMAND = (
    "python -m pip install cmake ninja pybind11 scikit-build-core && "
    "python -m pip install --no-build-isolation ."
)

_LIBRARY_FILE = "libbvkeras_ops.so"
_STAMP_FILE = "stamp.json"
_STAMP = {
    "anyOf": [
        record_of(reason=TEXT),
        record_of(
            tensorflow=TEXT,
            cxx11_abi=COUNT,
            contract_version=COUNT,
            architecture=TEXT,
            compiler=TEXT,
            variants=TEXT,
            optional={"cuda": TEXT, "cuda_architectures": TEXT},
        ),
    ]
}


def is_available() -> bool:
    """Whether the native library is there and fits."""
    return _load()[1] is None


def load() -> ModuleType:
    """The TensorFlow operations, loaded at the first call.

    Returns:
        Module with a function for each operation of kernels/tf_op.cc.

    Raises:
        NativeLibraryError: The library was not built, was built for another
            TensorFlow, or cannot be loaded.
    """
    operations, problem = _load()
    if operations is None:
        raise NativeLibraryError(
            f"the native library cannot be used: {problem}; in a checkout of "
            f"bvkeras, build it with: {BUILD_COMMAND}"
        )
    return operations


def describe() -> str:
    """One line on the library's state, for people."""
    problem = _load()[1]
    if problem is not None:
        return (
            f"{problem}; the pure TensorFlow path is used. Build it in a "
            f"checkout of bvkeras with: {BUILD_COMMAND}"
        )
    stamp = _stamp()
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return (
        f"{_variant(stamp)}; built by {stamp['compiler']} for TensorFlow "
        f"{stamp['tensorflow']}; {threads or os.cpu_count()} threads;"
        f" {_cuda_state(stamp)}"
    )


def gpu_problem() -> str | None:
    """Why the library's kernels cannot run on a GPU here, or `None`.

    Whether there is a GPU is not asked.

    Raises:
        NativeLibraryError: As `load`.
    """
    load()
    if not _stamp().get("cuda"):
        return "built without CUDA kernels"
    driver, build = _cuda_versions()
    if driver == 0:
        return "there is no CUDA driver"
    # A driver runs what any CUDA of its own major version built.
    if driver // 1000 < build // 1000:
        return (
            f"built with CUDA {_dotted(build)}, but the driver runs up to"
            f" {_dotted(driver)}"
        )
    return None


def check_driver() -> None:
    """Raises NativeLibraryError where the GPU's driver is too old.

    Without CUDA kernels there is nothing to check: TensorFlow then takes the
    CPU for these operations.
    """
    if not _stamp().get("cuda"):
        return
    problem = gpu_problem()
    if problem is not None:
        raise NativeLibraryError(
            f"the native library cannot be used on the GPU: {problem}; update"
            " the driver, or use implementation='reference'"
        )


def cpu_variant() -> str:
    """The instruction set that the CPU's kernels use, as `doctor` names it.

    Raises:
        NativeLibraryError: As `load`.
    """
    function = ctypes.CDLL(str(path())).bvkeras_cpu_variant
    function.restype = ctypes.c_char_p
    return function().decode()


def path() -> pathlib.Path:
    """Path of the library's file.

    Raises:
        NativeLibraryError: As `load`.
    """
    load()
    return _found() / _LIBRARY_FILE


@functools.cache
def _load() -> tuple[ModuleType | None, str | None]:
    """The operations, or why there are none."""
    directory = _directory()
    if directory is None:
        return None, "not built"
    try:
        problem = stamp_problem(_read_stamp(directory))
    except (OSError, NativeLibraryError):
        problem = f"{directory / _STAMP_FILE} is not what a build writes"
    if problem is not None:
        return None, problem
    library = str(directory / _LIBRARY_FILE)
    try:
        return tf.load_op_library(library), None
    except (tf.errors.OpError, OSError) as error:
        line = str(error).splitlines()[0]
        return None, f"{library} cannot be loaded: {line}"


def _directory() -> pathlib.Path | None:
    # In an editable install the package lies in two folders.
    for folder in _native.__path__:
        if (pathlib.Path(folder) / _STAMP_FILE).is_file():
            return pathlib.Path(folder)
    return None


def _found() -> pathlib.Path:
    """The directory, of a library that was loaded and so is there."""
    directory = _directory()
    assert directory is not None
    return directory


def stamp_problem(stamp: dict[str, Any]) -> str | None:
    """Why a library with this stamp cannot be loaded here, or `None`.

    Args:
        stamp: dict. What the build wrote to `stamp.json`.
    """
    if "reason" in stamp:
        return f"not built: {stamp['reason']}"
    for name, here in (
        ("tensorflow", tf.__version__),
        ("cxx11_abi", tf.sysconfig.CXX11_ABI_FLAG),
        ("contract_version", CONTRACT_VERSION),
        ("architecture", platform.machine()),
    ):
        if stamp[name] != here:
            return f"built for {name} {stamp[name]}, but here it is {here}"
    return None


def _stamp() -> dict[str, Any]:
    return _read_stamp(_found())


def _read_stamp(directory: pathlib.Path) -> dict[str, Any]:
    return fileio.read_json(
        directory / _STAMP_FILE, _STAMP, error=NativeLibraryError
    )


def _cuda_versions() -> tuple[int, int]:
    """Of the driver, 0 for none, and of the build, as CUDA numbers them."""
    loaded = ctypes.CDLL(str(_found() / _LIBRARY_FILE))
    return (
        loaded.bvkeras_cuda_driver_version(),
        loaded.bvkeras_cuda_build_version(),
    )


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _cuda_state(stamp: dict[str, Any]) -> str:
    if not stamp.get("cuda"):
        return "no CUDA kernels"
    compiled = (
        f"CUDA {stamp['cuda']} kernels for sm_"
        + ", sm_".join(stamp["cuda_architectures"].split(";"))
        + ", not yet run on a GPU"
    )
    problem = gpu_problem()
    return f"{compiled} ({problem})" if problem else compiled


def _variant(stamp: dict[str, Any]) -> str:
    """The instruction set in use, as the module on numpy arrays tells it."""
    compiled = ", ".join(stamp["variants"].split(","))
    try:
        kernels = importlib.import_module("bvkeras._native.kernels")
    except ImportError:
        return f"one of {compiled}"
    info = kernels.build_info()
    return info["variant_error"] or f"{info['variant']} (of {compiled})"
