"""Peak memory of one step above its inputs, each in a process of its own."""

import json
import pathlib
import subprocess
import sys

from benchmarks.pooling import tensorflow_steps
from benchmarks.pooling.rows import Row
from benchmarks.pooling.shapes import Operands
from benchmarks.pooling.sizes import MEMORY_SHAPE, Shape
from benchmarks.pooling.tensorflow_steps import logits_step

# Stored type, and what is done.
_CANDIDATES = tuple(
    (stored, way)
    for stored in ("float32", "bfloat16", "int8")
    for way in ("stash", "recompute", "einsum", "matmul")
)


def memory(device: str, rounds: int) -> list[Row]:
    """Of native steps and of graphs; the leanest graph of a type is its
    baseline, and float32's is that of bfloat16 too."""
    peaks = {
        (stored, way): _in_a_process(stored, way) for stored, way in _CANDIDATES
    }
    rows = []
    for (stored, way), megabytes in peaks.items():
        graphs = [
            (of, kind)
            for of in ("int8" if stored == "int8" else "float32",)
            for kind in ("einsum", "matmul")
        ]
        leanest = min(graphs, key=peaks.get)
        ratio = round(peaks[leanest] / megabytes, 2)
        rows.append(
            Row(
                device,
                "memory",
                str(MEMORY_SHAPE),
                stored,
                f"{stored}, {way}",
                round(megabytes, 2),
                round(megabytes, 2),
                "MB",
                baseline=", ".join(leanest),
                ratio=ratio,
                least_ratio=ratio,
            )
        )
    return rows


def _in_a_process(stored, way):
    command = [sys.executable, "-m", __name__, stored, way]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def _step(operands, way):
    if way in ("stash", "recompute"):
        project = tensorflow_steps.native(operands, way)
    else:
        project = getattr(tensorflow_steps, way)(operands)
    return logits_step(operands, project)


def _status_bytes(name: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status: no {name}")


def _measure(stored: str, way: str) -> float:
    # Threads and the like are there already in a training.
    _step(Operands(Shape(2, 8, 2, 32, 16, per_position=False), stored), way)()
    step = _step(Operands(MEMORY_SHAPE, stored), way)
    # Forgets the peak so far, which the making of the inputs reached.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _status_bytes("VmRSS")
    step()
    return (_status_bytes("VmHWM") - before) / 1e6


if __name__ == "__main__":
    print(json.dumps(_measure(*sys.argv[1:])))
