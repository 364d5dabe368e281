"""What the CUDA compiler made of the kernels; see tests/cuda/gates.py."""

import dataclasses

import pytest

from bvkeras.ops import library
from tests.cuda import gates
from tests.ops.test_cuda_library import require_cuda

# Forward, and backward from the product again: 4 types of 3 widths; backward
# from the stash: 3 of 3; dW: 4 of 3; dH and packing: 3 each; order and sums;
# forward and backward of products: 3 each.
NUM_KERNELS = 12 + 12 + 9 + 12 + 3 + 3 + 3 + 3 + 3


def check(architecture, path):
    kernels = gates.kernels_in(path)
    assert len(kernels) == NUM_KERNELS
    found = gates.problems(architecture, kernels, gates.launch_sizes())
    assert list(found) == []


def test_the_library_as_it_was_built():
    require_cuda()
    architectures = library._stamp()["cuda_architectures"].split(";")
    if len(architectures) > 1:
        pytest.skip("built for several architectures; see the full test")
    check(int(architectures[0]), library.path())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"local_bytes": 8}, "spills"),
        ({"registers": 217}, "above 216 registers"),
        ({"tensor_core": 0}, "tensor cores"),
        ({"wide_loads": 0}, "no loads of 16 bytes"),
        ({"type": "float", "tensor_core": 0}, "too few multiply-adds"),
    ],
)
def test_each_gate_closes(change, problem):
    kernel = gates.Kernel(
        *("WeightsGradientKernel", "__half", 128, False, 128, 0, 8, 4, 9)
    )
    sizes = {
        ("WeightsGradientKernel", t, 128): (256, 40960)
        for t in ("__half", "float")
    }
    assert not list(gates.problems(90, [kernel], sizes))
    bad = dataclasses.replace(kernel, **change)
    found = list(gates.problems(90, [bad], sizes))
    assert any(line.endswith(problem) for line in found)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"registers": 217}, "above 216 registers"),
        ({"wide_loads": 0}, "no loads of 16 bytes"),
        ({"tensor_core": 1}, "tensor cores"),
    ],
)
def test_each_gate_closes_behind_a_product(change, problem):
    kernel = gates.Kernel(
        *("EpilogueKernel", "__half", 0, False, 128, 0, 0, 4, 9)
    )
    sizes = {("EpilogueKernel", "__half", 0): (128, 0)}
    assert not list(gates.problems(90, [kernel], sizes))
    bad = dataclasses.replace(kernel, **change)
    (line,) = gates.problems(90, [bad], sizes)
    assert line.endswith(problem)


def test_too_few_warps_are_a_problem():
    kernel = gates.Kernel("ForwardKernel", "__half", 64, False, 64, 0, 8, 4, 9)
    sizes = {("ForwardKernel", "__half", 64): (128, 60 << 10)}
    (_, line) = gates.problems(86, [kernel], sizes)
    assert line.endswith("fewer than 8 warps")


def test_warps_of_a_multiprocessor():
    # 168 registers: 12 warps; 30,000 bytes: 3 blocks of 4 warps; 40 registers:
    # 2,048 threads.
    assert gates.warps(80, 168, 128, 1024) == 12
    assert gates.warps(86, 32, 128, 30000) == 12
    assert gates.warps(90, 32, 256, 1024) == 64
    assert gates.warps(75, 32, 128, 1024) == 32


@pytest.mark.full
@pytest.mark.parametrize("architecture", gates.ARCHITECTURES)
def test_every_architecture(architecture, tmp_path):
    check(architecture, gates.compile_for(architecture, tmp_path))
