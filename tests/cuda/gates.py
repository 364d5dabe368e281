"""What the CUDA compiler made of the kernels, and what it must not be.

    python -m tests.cuda.gates [ARCHITECTURE ...]

compiles kernels/cuda/linear_pooling.cu for each architecture (sm_80: 80) and
prints the table of docs/kernels_proof.md. Read from cuobjdump: registers, local
memory, and the instructions of each kernel.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

import pytest

from tests.cuda.emulation import ROOT, build

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

# Of a multiprocessor: shared memory in bytes, threads; and what every block
# costs of the first. CUDA C++ Programming Guide, Compute Capabilities.
_SHARED = {75: 64, 80: 164, 86: 100, 89: 100, 90: 228, 100: 228, 120: 100}
_THREADS = {75: 1024, 80: 2048, 86: 1536, 89: 1536, 90: 2048, 100: 2048}
_THREADS[120] = 1536
_REGISTERS = 65536
_BLOCKS = {75: 16, 80: 32, 86: 16, 89: 24, 90: 32, 100: 32, 120: 24}

# Registers that a thread may take, and warps that a multiprocessor must hold,
# of which Turing's shared memory allows 4. Sums in float32 stand in registers:
# those kernels may take all that there are, as long as nothing spills.
_REGISTER_CEILING = 216
_REGISTER_CEILING_FLOAT = 255


def least_warps(architecture):
    return 4 if architecture == 75 else 8


_KERNEL = re.compile(
    r"bvkeras::cuda::(\w+Kernel)"
    r"(?:<([\w ]+)(?:, (\d+)(?:, (true|false))?)?>)?\("
)


@dataclasses.dataclass
class Kernel:
    """One kernel for one architecture.

    Attributes:
        name: string. Without its namespace.
        type: string. What hidden states are stored as, or `""`.
        units: int. Units of a block, or 0.
        from_stash: bool. Whether Z comes from the stash.
        registers: int. Of a thread.
        local_bytes: int. Of a thread's stack and local memory: spills.
        tensor_core: int. Instructions that multiply on tensor cores.
        wide_loads: int. Instructions that load 16 bytes from global memory.
        float_multiplies: int. FFMA instructions.
    """

    name: str
    type: str
    units: int
    from_stash: bool
    registers: int
    local_bytes: int
    tensor_core: int
    wide_loads: int
    float_multiplies: int

    @property
    def follows_product(self):
        """Whether it takes products from elsewhere."""
        return self.name in ("EpilogueKernel", "EpilogueGradientKernel")

    @property
    def multiplies(self):
        """Whether it has a product of matrices."""
        return (
            self.name
            in (
                "ForwardKernel",
                "GradientKernel",
                "WeightsGradientKernel",
                "HiddenStatesGradientKernel",
            )
            and not self.from_stash
        )

    def on_tensor_cores(self, architecture):
        """Whether its product should be."""
        types = {"__half"}
        if architecture >= 80:
            types |= {"__nv_bfloat16", "signed char"}
        return self.multiplies and self.type in types


def tool(name):
    """A program of CUDA's, of the system or of PyPI's wheels."""
    packages = pathlib.Path(sysconfig.get_path("purelib")) / "nvidia"
    folders = [
        *os.environ.get("PATH", "").split(os.pathsep),
        "/usr/local/cuda/bin",
        *map(str, sorted(packages.glob("*/bin"), reverse=True)),
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        reason = f"{name} is missing, which the gates need"
        if "cuda" in os.environ.get("BVKERAS_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def compile_for(architecture, folder):
    """Compiles the kernels for one architecture; path of the cubin."""
    cubin = pathlib.Path(folder) / f"sm_{architecture}.cubin"
    run(
        *(tool("nvcc"), "-std=c++17", "-O3", "-cubin"),
        *(f"-arch=sm_{architecture}", "-I", ROOT / "kernels"),
        *("-I", ROOT / "kernels" / "cuda", "-o", cubin),
        ROOT / "kernels" / "cuda" / "linear_pooling.cu",
    )
    return cubin


def kernels_in(path):
    """Every kernel of a cubin, or of a library for one architecture."""
    # cuobjdump calls nvdisasm.
    folder = pathlib.Path(tool("nvdisasm")).parent
    environment = {**os.environ}
    environment["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    usage = run(
        *(tool("cuobjdump"), "--dump-resource-usage", path), env=environment
    )
    code = run(*(tool("cuobjdump"), "-sass", path), env=environment)
    resources = {
        match[1]: match
        for match in re.finditer(
            r"Function (\S+):\n\s+REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)",
            usage,
        )
    }
    kernels = []
    for part in code.split("Function : ")[1:]:
        symbol, body = part.split("\n", 1)
        if "bvkeras" not in symbol:
            continue
        name = run("c++filt", symbol).strip()
        match = _KERNEL.search(name)
        found = resources[symbol]
        kernels.append(
            Kernel(
                match[1],
                match[2] or "",
                int(match[3] or 0),
                match[4] == "true",
                int(found[2]),
                int(found[3]) + int(found[4]),
                len(re.findall(r"\bHMMA\.", body)),
                len(re.findall(r"\b(?:LDGSTS|LDG)\.\S*128", body)),
                len(re.findall(r"\bFFMA\b", body)),
            )
        )
    return kernels


def run(*command, env=None):
    """What a command prints."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=env
    )
    if done.returncode:
        pytest.fail(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def launch_sizes():
    """Threads and bytes of shared memory by kernel, type and units."""
    folder = build("cuda_launch_sizes")
    sizes = {}
    for line in run(folder / "cuda_launch_sizes").splitlines():
        kernel, type_, units, threads, shared = line.split(",")
        sizes[kernel, type_, int(units)] = int(threads), int(shared)
    return sizes


def warps(architecture, registers, threads, shared):
    """Warps that a multiprocessor holds at a time."""
    # Registers come in 256 for a warp, shared memory in 1 KB for a block.
    warp_registers = -(-registers * 32 // 256) * 256
    block_warps = threads // 32
    by_registers = _REGISTERS // warp_registers // block_warps
    block_shared = shared + (0 if architecture == 75 else 1024)
    by_shared = _SHARED[architecture] // max(1, -(-block_shared // 1024))
    by_threads = _THREADS[architecture] // threads
    blocks = min(by_registers, by_shared, by_threads, _BLOCKS[architecture])
    return blocks * block_warps


def problems(architecture, kernels, sizes):
    """A line for everything that a kernel is and must not be."""
    for kernel in kernels:
        where = f"sm_{architecture} {kernel}"
        if kernel.local_bytes:
            yield f"{where}: spills"
        if not kernel.multiplies and not kernel.follows_product:
            continue
        threads, shared = sizes[kernel.name, kernel.type, kernel.units]
        ceiling = _REGISTER_CEILING
        if kernel.type == "float":
            ceiling = _REGISTER_CEILING_FLOAT
        if kernel.registers > ceiling:
            yield f"{where}: above {ceiling} registers"
        if shared > 48 << 10:
            yield f"{where}: {shared} bytes of shared memory"
        least = least_warps(architecture)
        if warps(architecture, kernel.registers, threads, shared) < least:
            yield f"{where}: fewer than {least} warps"
        if kernel.wide_loads == 0:
            yield f"{where}: no loads of 16 bytes"
        if kernel.on_tensor_cores(architecture) != (kernel.tensor_core > 0):
            yield f"{where}: tensor cores"
        if (
            kernel.multiplies
            and kernel.type == "float"
            and kernel.float_multiplies < 16
        ):
            yield f"{where}: too few multiply-adds"


def table(architecture, kernels, sizes):
    """Rows for docs/kernels_proof.md: the widest of each kernel and type."""
    for kernel in kernels:
        if kernel.multiplies and kernel.units not in (0, 128):
            continue
        if not kernel.multiplies and not kernel.follows_product:
            continue
        threads, shared = sizes[kernel.name, kernel.type, kernel.units]
        held = warps(architecture, kernel.registers, threads, shared)
        yield (
            f"| {architecture} | {kernel.name.removesuffix('Kernel')} |"
            f" {kernel.type} | {kernel.registers} | {kernel.local_bytes} |"
            f" {kernel.tensor_core} | {kernel.wide_loads} | {shared} | {held} |"
        )


def main(architectures):
    sizes = launch_sizes()
    failed = False
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as folder:
            kernels = kernels_in(compile_for(architecture, folder))
        for row in table(architecture, kernels, sizes):
            print(row, flush=True)
        for problem in problems(architecture, kernels, sizes):
            failed = True
            print(problem, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main([int(a) for a in sys.argv[1:]] or ARCHITECTURES))
