"""The CUDA kernels on the emulated GPU: in C++, also under sanitizers.

Each case's output and gradients are compared with float64, and must have the
same bits under every order of the GPU's threads.
"""

import pytest

from tests.cuda.emulation import build, run_cases

# All combinations of sizes (25) and choices (48).
ALL_CASES = 25 * 48
# Has a common factor with neither number.
STEP = 101
SEEDS = (0, 1, 7)
# The order in which they are numbered, and one at random.
FEW_SEEDS = (0, 7)


def check(name, first, count, seeds, step=STEP, of_products=None):
    build(f"cuda_emulation_{name}")
    done = run_cases(name, first, step, count, seeds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(
        f"{count} cases tested, "
        f"{count if of_products is None else of_products} of products, "
        "0 failures\n"
    )


# Of a GPU without asynchronous copies fewer: the rest is the same.
@pytest.mark.parametrize(("name", "count"), [("plain", 18), ("sm75", 8)])
def test_some_cases(name, count):
    check(name, 0, count, FEW_SEEDS)


# After the others: no real token; and Z far beyond what float16 holds.
@pytest.mark.parametrize("first", [ALL_CASES, 2 * ALL_CASES])
def test_some_empty_and_far_cases(first):
    check("plain", first, 12, (7,))


@pytest.mark.full
def test_some_cases_under_address_sanitizer():
    check("address", 1, 12, (0,))
    check("address", ALL_CASES, 6, (0,))


# Each in a process of its own: small ones, of every kernel between them.
@pytest.mark.full
@pytest.mark.parametrize("case", [33])
def test_a_case_under_thread_sanitizer(case):
    check("thread", case, 1, (2,))


@pytest.mark.full
@pytest.mark.parametrize("name", ["plain", "sm75"])
def test_every_case(name):
    check(name, 0, ALL_CASES, (*SEEDS, 8), step=1)


@pytest.mark.full
@pytest.mark.parametrize("first", [ALL_CASES, 2 * ALL_CASES])
def test_every_empty_and_far_case(first):
    check("plain", first, ALL_CASES, SEEDS, step=1)


@pytest.mark.full
def test_many_cases_under_address_sanitizer():
    check("address", 0, ALL_CASES // 4, (0, 1, 2))
    check("address", ALL_CASES, ALL_CASES // 8, (0, 1))


@pytest.mark.full
@pytest.mark.parametrize("case", [0, 2, 3, 22, 26, 27, 58, 83, 88])
def test_more_cases_under_thread_sanitizer(case):
    # With products from elsewhere 88 has too many threads for it.
    check("thread", case, 1, (0, 3), of_products=int(case != 88))
