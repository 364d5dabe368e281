"""The emulated GPU sees what it must: small kernels, right and wrong."""

import subprocess

import pytest

from tests.cuda.emulation import build, sanitizer_environment


def run(name, kernel, seed):
    folder = build(f"emulator_test_{name}")
    return subprocess.run(
        [folder / f"emulator_test_{name}", kernel, str(seed)],
        capture_output=True,
        text=True,
        env=sanitizer_environment(),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("behind_shared", "wrote behind shared memory"),
        ("never_met", "waits for threads that do not come"),
        ("misaligned_copy", "copies what is not 16 aligned bytes"),
        ("misaligned_matrix", "takes a matrix that is not aligned"),
        ("large_shared", "more than 48 KB of shared memory"),
    ],
)
def test_a_wrong_kernel_ends_the_program(kernel, message, seed):
    done = run("plain", kernel, seed)
    assert done.returncode != 0
    assert message in done.stderr


def test_a_copy_that_nobody_awaits_ends_the_program():
    done = run("plain", "copy_not_awaited", 0)
    assert "ends before its copies do" in done.stderr


@pytest.mark.parametrize("kernel", ["no_warp_barrier", "no_block_barrier"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_numbers_do_not_arrive_without_a_barrier(kernel, seed):
    assert run("plain", kernel, seed).stdout == "numbers are missing\n"


@pytest.mark.parametrize("kernel", ["warp_barrier", "block_barrier"])
@pytest.mark.parametrize("name", ["plain", "thread"])
def test_a_right_kernel_passes(name, kernel):
    done = run(name, kernel, 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "every number arrived\n"


@pytest.mark.parametrize(
    "kernel",
    [
        "no_warp_barrier",
        "shuffle_for_barrier",
        "no_block_barrier",
        "blocks_race",
    ],
)
def test_thread_sanitizer_reports_a_race(kernel):
    done = run("thread", kernel, 2)
    assert done.returncode != 0
    assert "ThreadSanitizer: data race" in done.stderr
