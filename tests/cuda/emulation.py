"""Builds the CUDA kernels for the emulated GPU, and runs them.

CUDA's headers are all that is needed, and TensorFlow brings them: neither a
GPU nor NVIDIA's compiler is.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import filelock
import pybind11
import pytest
import tensorflow as tf

from tests.ops.test_kernels_sanitized import program

ROOT = pathlib.Path(__file__).parents[2]
BUILD = ROOT / "build" / "cuda_emulation"

# Every race is reported, not the first at an address or from a function.
_TSAN_OPTIONS = (
    "suppress_equal_addresses=0:suppress_equal_stacks=0:halt_on_error=1"
)
_HEADERS = "third_party/gpus/cuda/include"


def build(target, source=ROOT, folder=BUILD):
    """Builds a target of kernels/tests/tests.cmake.

    Args:
        target: string.
        source: path. A copy of the repository's CMakeLists.txt and kernels.
        folder: path. Where to build; what did not change is kept.

    Returns:
        Path of the folder.
    """
    program("c++")
    headers = pathlib.Path(tf.sysconfig.get_include()) / _HEADERS
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):
        for command in (
            [
                *(program("cmake"), "-S", source, "-B", folder, "-G", "Ninja"),
                *("-D", "BVKERAS_KERNEL_TESTS=ON"),
                *("-D", f"BVKERAS_CUDA_INCLUDE={headers}"),
                *("-D", f"CMAKE_MAKE_PROGRAM={program('ninja')}"),
                *("-D", f"Python_EXECUTABLE={sys.executable}"),
                *("-D", f"pybind11_DIR={pybind11.get_cmake_dir()}"),
            ],
            [program("cmake"), "--build", folder, "-j1", "--target", target],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.fail(done.stdout + done.stderr)
    return folder


def run_cases(name, first, step, count, seeds, folder=BUILD):
    """Runs cases of kernels/tests/cuda_emulation_test.cc.

    Args:
        name: string. `"plain"`, `"address"`, `"thread"` or `"sm75"`.
        first: int. Number of the first case.
        step: int. From one case's number to the next.
        count: int. How many cases.
        seeds: iterable of ints. Orders of the threads.
        folder: path. What `build` returned.

    Returns:
        subprocess.CompletedProcess, with the output as text.
    """
    command = [folder / f"cuda_emulation_{name}", first, step, count, *seeds]
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=sanitizer_environment(),
    )


def sanitizer_environment():
    return {**os.environ, "TSAN_OPTIONS": _TSAN_OPTIONS}


def load_module(name):
    """`bvkeras._native.kernels` on the emulated GPU.

    Args:
        name: string. `"plain"` or `"sm75"`.
    """
    folder = build(f"module_{name}") / f"module_{name}"
    (path,) = folder.glob("kernels.*.so")
    spec = importlib.util.spec_from_file_location("kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
