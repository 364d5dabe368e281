"""Empty work does not end the process: see tests/ops/empty_work.py."""

import pathlib

import pytest

from tests import fresh_process
from tests.native import require_native

_ROOT = pathlib.Path(__file__).parents[2]


# A training step, as a user meets it; the passes; the operations with their
# gradients. What one has done must not hide what another gets wrong.
@pytest.mark.parametrize(
    "what",
    [
        *("encoder", "fit", "numpy", "tensorflow"),
        pytest.param("variants", marks=pytest.mark.full),
    ],
)
def test_in_a_fresh_process(what):
    require_native()
    done = fresh_process.run("-m", "tests.ops.empty_work", what, cwd=_ROOT)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    assert done.stdout.endswith(" cases\n")
