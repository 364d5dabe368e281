"""What machine a run was made on, for its report."""

import os
import pathlib
import platform

import psutil
import tensorflow as tf

_CPU_FILE = pathlib.Path("/proc/cpuinfo")
_GIBIBYTE = 1 << 30


def hardware() -> dict[str, str]:
    """The processor, its cores, the memory and the GPUs.

    Nothing in it says whose machine it is: no name, user or path.

    Returns:
        dict of what it is to what there is, for people to read.
    """
    found = {
        "processor": _processor(),
        "cores": str(psutil.cpu_count(logical=False) or "-"),
        "logical cores": str(os.cpu_count() or "-"),
        "memory": f"{psutil.virtual_memory().total / _GIBIBYTE:.1f} GiB",
    }
    for number, device in enumerate(tf.config.list_physical_devices("GPU")):
        details = tf.config.experimental.get_device_details(device)
        found[f"GPU {number}"] = str(details.get("device_name", "-"))
    return found


def _processor() -> str:
    """The model's name; only Linux has it in a file."""
    if _CPU_FILE.exists():
        for line in _CPU_FILE.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
