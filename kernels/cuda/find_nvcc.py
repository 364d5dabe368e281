"""Prints, as JSON, the nvcc to use, its runtime library and its version.

Looked for in this order: the environment variable BVKERAS_NVCC, the path,
/usr/local/cuda, and the wheels of PyPI in this Python. Ends with a line on
what is missing, and exit code 1.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

WHEELS = (
    "nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-runtime"
    " nvidia-cuda-cccl"
)


def candidates():
    """Yields paths at which nvcc may be."""
    if os.environ.get("BVKERAS_NVCC"):
        yield os.environ["BVKERAS_NVCC"]
        return
    if found := shutil.which("nvcc"):
        yield found
    yield "/usr/local/cuda/bin/nvcc"
    packages = pathlib.Path(sysconfig.get_path("purelib")) / "nvidia"
    for nvcc in sorted(packages.glob("*/bin/nvcc"), reverse=True):
        yield str(nvcc)


def output(*command):
    """What a command prints, or `None` where it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout + done.stderr


def toolkit(nvcc):
    """Folder of the toolkit, which a script on the path need not be in."""
    printed = output(nvcc, "--dryrun", "-x", "cu", "-c", os.devnull) or ""
    top = re.search(r"^#\$ TOP=(.*)$", printed, re.M)
    return pathlib.Path(top[1] if top else nvcc).resolve()


def architectures():
    """Those of the GPUs here; without one, of all since Ampere."""
    printed = output(
        "nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"
    )
    found = set(re.findall(r"(\d+)\.(\d)", printed or ""))
    numbers = sorted(int(major + minor) for major, minor in found)
    return ";".join(map(str, numbers)) or "80"


def main():
    for nvcc in candidates():
        version = re.search(
            r"release (\d+\.\d+)", output(nvcc, "--version") or ""
        )
        if version is None:
            continue
        top = toolkit(nvcc)
        for runtime in (
            *top.glob("lib*/libcudart_static.a"),
            *top.glob("targets/*/lib/libcudart_static.a"),
        ):
            print(
                json.dumps(
                    {
                        "nvcc": nvcc,
                        "runtime": str(runtime),
                        "version": version[1],
                        "architectures": architectures(),
                    }
                )
            )
            return
        sys.exit(f"libcudart_static.a is missing under {top}")
    sys.exit(f"nvcc was not found; it comes with a CUDA toolkit, or {WHEELS}")


if __name__ == "__main__":
    main()
