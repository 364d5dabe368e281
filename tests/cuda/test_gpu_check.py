"""`make gpu-check` on the emulated GPU, whole, and with a planted bug."""

import csv
import os
import shutil
import subprocess
import sys

import pytest

from tests.cuda.emulation import ROOT
from tests.cuda.test_mutants import MUTANTS
from tests.ops.test_kernels_sanitized import program

# One that the parity grid must see by itself.
PLANTED = "erf_slope"


def gpu_check(kernels, folder, *arguments):
    """Runs it in a process of its own, which cannot import TensorFlow."""
    program("c++")
    blocked = folder / "blocked"
    blocked.mkdir(exist_ok=True)
    # Its headers are still found; `import tensorflow` would end the process.
    (blocked / "sitecustomize.py").write_text(
        "import sys\nsys.modules['tensorflow'] = None\n"
    )
    return subprocess.run(
        [
            *(sys.executable, "-m", "tools.gpu_check", "--emulated"),
            *("--kernels", kernels, "--build", folder / "build"),
            *("--output", folder / "results", *arguments),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **cuda_headers(), "PYTHONPATH": str(blocked)},
    )


def cuda_headers():
    """Named, since a blocked TensorFlow is not searched for them."""
    import tensorflow as tf

    headers = f"{tf.sysconfig.get_include()}/third_party/gpus/cuda/include"
    return {"BVKERAS_CUDA_INCLUDE": headers}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Objects of what a patch does not change are built once."""
    return tmp_path_factory.mktemp("gpu_check")


@pytest.fixture(scope="module")
def kernels(folder):
    return shutil.copytree(ROOT / "kernels", folder / "source" / "kernels")


@pytest.mark.full
def test_runs_to_its_end_without_tensorflow(kernels, folder):
    done = gpu_check(kernels, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no GPU is used" in done.stdout
    parity = rows(folder / "results" / "parity.csv")
    assert {row["verdict"] for row in parity} == {"ok"}
    assert {row["result"] for row in parity} == {"output", "W", "b", "V", "H"}
    (cases,) = rows(folder / "results" / "cases.csv")
    assert cases["verdict"] == "ok"
    times = rows(folder / "results" / "times.csv")
    assert {row["verdict"] for row in times} == {"ok"}
    candidates = {row["candidate"] for row in times}
    assert candidates >= {"kernels", "matmul and kernels"}
    # Nothing is timed here.
    assert {row["median_us"] for row in times} == {""}


@pytest.mark.full
def test_a_planted_bug_makes_it_fail(kernels, folder):
    (patch,) = [path for path in MUTANTS if path.stem == PLANTED]
    applied = subprocess.run(
        ["git", "apply", patch], cwd=kernels.parent, capture_output=True
    )
    assert applied.returncode == 0, applied.stderr
    done = gpu_check(kernels, folder, "--stages", "parity", "times")
    assert done.returncode == 1, done.stdout + done.stderr
    wrong = {
        row["result"]
        for row in rows(folder / "results" / "parity.csv")
        if row["verdict"] == "beyond the bound"
    }
    # GELU's derivative has no part in the output and in dV.
    assert wrong == {"W", "b", "H"}
    assert "FAILED parity" in done.stdout
