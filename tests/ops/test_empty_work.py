"""Empty work does not end the process: see tests/ops/empty_work.py."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.native import require_native

_ROOT = pathlib.Path(__file__).parents[2]


# A training step, as a user meets it; the passes; the operations with their
# gradients. What one has done must not hide what another gets wrong.
@pytest.mark.parametrize("what", ["fit", "numpy", "tensorflow"])
def test_in_a_fresh_process(what):
    require_native()
    done = subprocess.run(
        [sys.executable, "-m", "tests.ops.empty_work", what],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    assert done.stdout.endswith(" cases\n")
