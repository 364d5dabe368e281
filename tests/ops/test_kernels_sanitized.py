"""The kernels' own tests, under AddressSanitizer and UBSan."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]


def program(name):
    """A program of the environment, or of the system."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    found = shutil.which(name, path=path) or shutil.which(name)
    if found is None:
        reason = f"{name} is missing, which the kernels' tests are built with"
        if "native" in os.environ.get("BVKERAS_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


# tests/ops asks the same kernels without sanitizers.
@pytest.mark.full
def test_kernels_under_sanitizers(tmp_path):
    cmake, _ = program("cmake"), program("c++")
    # Kept from run to run: only what changed is built again.
    build = _ROOT / "build" / "kernel_tests"
    for command in (
        [
            *(cmake, "-S", _ROOT, "-B", build, "-G", "Ninja"),
            *("-D", "BVKERAS_KERNEL_TESTS=ON"),
            *("-D", f"CMAKE_MAKE_PROGRAM={program('ninja')}"),
        ],
        [cmake, "--build", build],
    ):
        _run(command)
    for test in (
        *("linear_pooling_test", "linear_pooling_test_avx512"),
        *("encoder_test", "encoder_test_avx512", "crc32c_test"),
        *("encoder_int8_test", "encoder_int8_test_avx512"),
    ):
        assert "0 failures" in _run([build / test])


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
