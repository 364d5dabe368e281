"""Builds the kernels and their C++ cases, for a GPU or for the emulated one.

The compilers are called as they are: a GPU machine need not have CMake.
"""

import concurrent.futures
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
_HEADERS = "include/third_party/gpus/cuda/include"
# Where CUDA's own headers lie beside nvcc.
_TOOLKIT = ("include", "targets/x86_64-linux/include")
_OPTIMISED = ("-std=c++17", "-O3")
_EMULATED = ("-std=c++17", "-O1", "-g1", "-fPIC", "-pthread", "-w")


class BuildError(RuntimeError):
    """What is missing, or what a compiler says, in one text."""


class Builder:
    """Compiles kernels/cuda and kernels/gpu_check.

    Args:
        kernels: path. The repository's kernels/, or a copy of it.
        folder: path. For what is built; what did not change is kept.
        emulated: bool. Whether for the emulated GPU, by the C++ compiler.

    Attributes:
        described: string. The compiler and what it compiles for.

    Raises:
        BuildError: There is no compiler, or no nvcc or no headers of CUDA's.
    """

    def __init__(
        self, kernels: pathlib.Path, folder: pathlib.Path, emulated: bool
    ):
        self._kernels = kernels
        self._folder = folder
        self._emulated = emulated
        folder.mkdir(parents=True, exist_ok=True)
        includes = [f"-I{kernels}", f"-I{kernels / 'cuda'}"]
        self._definitions = ["-DBVKERAS_ON_DEVICE"]
        if emulated:
            self._compiler = shutil.which(os.environ.get("CXX", "c++"))
            if self._compiler is None:
                raise BuildError("there is no C++ compiler: set CXX")
            emulation = kernels / "host_emulation"
            includes += [f"-I{emulation / 'include'}", f"-I{emulation}"]
            includes += ["-isystem", str(_cuda_headers(kernels))]
            self._flags = [*_EMULATED, *includes]
            self._definitions.append("-DBVKERAS_EMULATED")
            self.described = f"{self._compiler}, emulated GPU"
        else:
            found = _nvcc(kernels)
            self._compiler = found["nvcc"]
            self._runtime = found["runtime"]
            self._flags = [*_OPTIMISED, *includes]
            self._flags += ["-Xcompiler", "-fPIC,-fvisibility=hidden"]
            if os.environ.get("CXX"):
                self._flags += ["-ccbin", os.environ["CXX"]]
            numbers = _architectures(found["architectures"])
            for number in numbers:
                code = f"arch=compute_{number},code=sm_{number}"
                self._flags += ["-gencode", code]
            self.described = (
                f"nvcc {found['version']} for sm_{' sm_'.join(numbers)}"
            )

    def library(self) -> pathlib.Path:
        """The shared library of kernels/gpu_check/c_api.cc."""
        objects = self._objects([*self._shared(), "gpu_check/c_api.cc"])
        path = self._folder / "libgpu_check.so"
        self._link(["-shared"], objects, path)
        return path

    def cases(self) -> pathlib.Path:
        """The program of kernels/tests/cuda_emulation_test.cc."""
        objects = self._objects(
            [*self._shared(), "tests/cuda_emulation_test.cc"]
        )
        path = self._folder / "cases"
        self._link([], objects, path)
        return path

    def _shared(self):
        sources = ["cuda/linear_pooling.cu", "gpu_check/on_device.cc"]
        if self._emulated:
            sources.append("host_emulation/emulation.cc")
            sources.append("host_emulation/cuda_api.cc")
        return sources

    def _objects(self, sources):
        workers = min(len(sources), len(os.sched_getaffinity(0)))
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self._object, sources))

    def _object(self, source):
        path = self._folder / (source.replace("/", "_") + ".o")
        # The cases look into the plan, which kernels' headers describe.
        is_cuda = source.endswith(".cu") or source.startswith("tests/")
        language = ["-x", "c++" if self._emulated else "cu"] if is_cuda else []
        self._run_once(
            path,
            [
                *(self._compiler, *self._flags, *self._definitions),
                *(*language, "-c", str(self._kernels / source)),
                *("-o", str(path)),
            ],
        )
        return path

    def _link(self, options, objects, path):
        libraries = ["-pthread"]
        if not self._emulated:
            libraries = [self._runtime, "-cudart", "none", "-lpthread"]
            libraries += ["-ldl", "-lrt", "-Xlinker", "--exclude-libs,ALL"]
            options = [*options, *(["-Xlinker", "-Bsymbolic"])]
        self._run_once(
            path,
            [
                *(self._compiler, *options, *map(str, objects)),
                *(*libraries, "-o", str(path)),
            ],
        )

    def _run_once(self, path, command):
        """Runs a command unless it made the path from the same sources."""
        stamp = path.with_name(path.name + ".stamp")
        wanted = self._stamp(command)
        if path.exists() and stamp.exists() and stamp.read_text() == wanted:
            return
        stamp.unlink(missing_ok=True)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BuildError(
                f"{' '.join(command)}\n{(done.stdout + done.stderr)[-4000:]}"
            )
        stamp.write_text(wanted)

    def _stamp(self, command):
        digest = hashlib.sha256(json.dumps(command).encode())
        for path in sorted(self._kernels.rglob("*")):
            if path.suffix in (".cu", ".cuh", ".h", ".cc"):
                digest.update(path.read_bytes())
        return digest.hexdigest()


def build_cpu_cases(
    kernels: pathlib.Path, folder: pathlib.Path, limit: float
) -> pathlib.Path | None:
    """kernels/tests/linear_pooling_test.cc, or `None` where CMake is missing.

    Args:
        kernels: path. kernels/ beside CMakeLists.txt.
        folder: path. For what is built.
        limit: float. Seconds.

    Raises:
        BuildError: CMake or a compiler says something is wrong, or takes
            longer.
    """
    cmake = shutil.which("cmake")
    if cmake is None:
        return None
    jobs = str(len(os.sched_getaffinity(0)))
    configure = [cmake, "-S", kernels.parent, "-B", folder]
    configure += ["-D", "BVKERAS_KERNEL_TESTS=ON"]
    compile_ = [cmake, "--build", folder, "-j", jobs]
    compile_ += ["--target", "linear_pooling_test"]
    until = time.monotonic() + limit
    for command in (configure, compile_):
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=max(1, until - time.monotonic()),
            )
        except subprocess.TimeoutExpired:
            raise BuildError(f"not built after {limit:.0f} s") from None
        if done.returncode:
            raise BuildError((done.stdout + done.stderr)[-4000:])
    return folder / "linear_pooling_test"


def gpu_name() -> str | None:
    """Name, driver and memory of the first GPU; `None` where there is none."""
    try:
        done = subprocess.run(
            [
                "nvidia-smi",
                "--query-gpu=name,driver_version,memory.total",
                "--format=csv,noheader",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is not None and done.returncode == 0 and done.stdout.strip():
        return done.stdout.splitlines()[0].strip()
    capability = _torch_architecture()
    return capability and f"compute capability {capability}, as PyTorch says"


def timed(function, *arguments):
    """A function's result and the seconds that it took."""
    began = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - began


def _torch_architecture():
    """Of the GPU that PyTorch sees, such as `"90"`; else `None`."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    return "".join(map(str, torch.cuda.get_device_capability()))


def _architectures(by_nvidia_smi):
    asked = os.environ.get("BVKERAS_CUDA_ARCHITECTURES")
    if asked:
        return asked.split(";")
    # Of the GPU that is used; nvidia-smi may be there and know of none.
    used = _torch_architecture()
    return [used] if used else by_nvidia_smi.split(";")


def _nvcc(kernels):
    done = subprocess.run(
        [sys.executable, str(kernels / "cuda" / "find_nvcc.py")],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BuildError(done.stderr.strip())
    return json.loads(done.stdout)


def _cuda_headers(kernels):
    """Folder of cuda_runtime.h: named, beside nvcc, or TensorFlow's."""
    candidates = []
    if os.environ.get("BVKERAS_CUDA_INCLUDE"):
        candidates.append(pathlib.Path(os.environ["BVKERAS_CUDA_INCLUDE"]))
    tensorflow = importlib.util.find_spec("tensorflow")
    if tensorflow is not None and tensorflow.origin:
        candidates.append(pathlib.Path(tensorflow.origin).parent / _HEADERS)
    try:
        runtime = pathlib.Path(_nvcc(kernels)["runtime"])
    except BuildError:
        runtime = None
    if runtime is not None:
        for top in list(runtime.parents)[:4]:
            candidates += [top / folder for folder in _TOOLKIT]
    for folder in candidates:
        if (folder / "cuda_runtime.h").exists():
            return folder
    raise BuildError(
        "CUDA's headers were not found: set BVKERAS_CUDA_INCLUDE to the folder"
        " of cuda_runtime.h"
    )
