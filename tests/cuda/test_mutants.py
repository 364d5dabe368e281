"""Bugs planted in the kernels: the checks must catch each of them.

kernels/tests/mutants/ holds patches against the shipped source. Each says
what it breaks and which check must see it: "values", the cases against
float64 under several orders of threads; "empty_or_far", those without a real
token and those with Z beyond float16; "address", the first ones under
AddressSanitizer and UBSan; "thread", a case under ThreadSanitizer. For the
CPU's kernels: "cpu", kernels/tests/linear_pooling_test.cc; "encoder",
encoder_test.cc; "encoder_avx512", that with AVX-512's variants, emulated.
"""

import re
import shutil
import subprocess

import pytest

from tests.cuda.emulation import ROOT, build, run_cases

MUTANTS = sorted((ROOT / "kernels" / "tests" / "mutants").glob("*.patch"))

# By the name of a check: runs of first case, step, number of cases and seeds.
# ThreadSanitizer's: a product on tensor cores; tokens of one position in
# several chunks; rows in several parts.
CHECKS = {
    "values": [("plain", 0, 101, 48, (0, 1, 7))],
    "empty_or_far": [
        ("plain", first, 101, 12, (0, 1)) for first in (1200, 2400)
    ],
    "address": [("address", 1, 101, 12, (0, 2))],
    "thread": [("thread", case, 1, 1, (2,)) for case in (33, 22, 88)],
}
# Programs that run all they have.
PROGRAMS = {
    "cpu": "linear_pooling_test",
    "encoder": "encoder_test",
    "encoder_avx512": "encoder_test_avx512",
}


class Workbench:
    """A copy of the sources, built again after each patch."""

    def __init__(self, folder):
        self.source = folder / "source"
        self.source.mkdir()
        shutil.copy(ROOT / "CMakeLists.txt", self.source)
        shutil.copytree(ROOT / "kernels", self.source / "kernels")
        self.build = folder / "build"
        self.good = set()

    def run(self, check):
        if check in PROGRAMS:
            build(PROGRAMS[check], self.source, self.build)
            return subprocess.run(
                [self.build / PROGRAMS[check]],
                capture_output=True,
                text=True,
            )
        for name, *arguments in CHECKS[check]:
            build(f"cuda_emulation_{name}", self.source, self.build)
            done = run_cases(name, *arguments, folder=self.build)
            if done.returncode != 0:
                break
        return done

    def patch(self, path, *options):
        done = subprocess.run(
            ["git", "apply", *options, path],
            cwd=self.source,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def require_good(self, check):
        """The source as it is passes, so that a failure means the patch."""
        if check not in self.good:
            done = self.run(check)
            assert done.returncode == 0, done.stdout + done.stderr
            self.good.add(check)


@pytest.fixture(scope="module")
def workbench(tmp_path_factory):
    return Workbench(tmp_path_factory.mktemp("mutants"))


def check_of(path):
    (check,) = re.findall(r"^Caught by: (\w+)$", path.read_text(), re.M)
    return check


def caught(workbench, path):
    check = check_of(path)
    workbench.require_good(check)
    workbench.patch(path)
    try:
        done = workbench.run(check)
    finally:
        workbench.patch(path, "--reverse")
    print((done.stdout + done.stderr)[:2000])
    return done.returncode != 0


def test_there_are_enough():
    assert len(MUTANTS) >= 12
    checks = CHECKS.keys() | PROGRAMS.keys()
    assert {check_of(path) for path in MUTANTS} == checks


@pytest.mark.full
@pytest.mark.parametrize("path", MUTANTS, ids=lambda path: path.stem)
def test_each_is_caught(workbench, path):
    assert caught(workbench, path)
