"""What is asked, and of which candidates."""

from collections.abc import Callable

import tensorflow as tf

from benchmarks.pooling import peaks, pytorch_steps, tensorflow_steps
from benchmarks.pooling.fit import fit
from benchmarks.pooling.memory import memory
from benchmarks.pooling.rows import Row, timed_rows
from benchmarks.pooling.shapes import Operands
from benchmarks.pooling.sizes import SHAPES, WIDE_SHAPES
from benchmarks.pooling.tensorflow_steps import logits_step, pooled_step
from benchmarks.pooling.timing import take_turns
from bvkeras.ops import library

STORED = ("float32", "bfloat16", "int8")
# A GPU is asked for so many steps before their time is taken.
_GPU_CALLS = 20


class Round:
    """Candidates of one comparison, each with what it works on."""

    def __init__(self, device: str):
        self.device = device
        self.steps: dict[str, Callable] = {}
        self.operands: dict[str, Operands] = {}

    def add(self, name: str, operands: Operands, step: Callable) -> str:
        """Returns the name, for lists of baselines."""
        self.steps[name] = self._placed(step)
        self.operands[name] = operands
        return name

    def rows(
        self,
        question: str,
        rounds: int,
        baselines: dict[str, list[str]],
        same: dict[str, list[str]] | None = None,
    ) -> list[Row]:
        """Times all in turns."""
        calls = _GPU_CALLS if self.device == "gpu" else 1
        timings = take_turns(self.steps, rounds, calls)
        return timed_rows(
            self.device, question, timings, self.operands, baselines, same
        )

    def _placed(self, step):
        def placed():
            with tf.device(f"/{self.device}:0"):
                return step()

        return placed


def speed(device: str, rounds: int) -> list[Row]:
    """A head's logits: native, TensorFlow, XLA, PyTorch; each stored type."""
    return [
        row
        for shape in SHAPES
        for row in _logits(device, shape, "speed", rounds)
    ]


def layers(device: str, rounds: int) -> list[Row]:
    """Hidden states as a list of layers, which a graph has to stack first."""
    return [
        row
        for shape in SHAPES
        for row in _logits(device, shape, "layers", rounds, as_list=True)
    ]


def _logits(device, shape, question, rounds, as_list=False):
    contest = Round(device)
    operands = {
        stored: Operands(shape, stored, as_list=as_list)
        for stored in (*STORED, *(() if as_list else ("float16",)))
    }
    if device == "cpu" or library.gpu_problem() is None:
        for stored, work in operands.items():
            for keep in ("stash",) if as_list else ("stash", "recompute"):
                project = tensorflow_steps.native(work, keep)
                contest.add(
                    f"native {stored}, {keep}", work, logits_step(work, project)
                )
    same = {stored: [] for stored in operands}
    wide = {stored: [] for stored in operands}
    for stored, work in operands.items():
        # TensorFlow's products in float16 are slower than those of what it
        # is widened to.
        narrow = {"int8": "bfloat16", "float16": "float32"}.get(stored, stored)
        for dtype in dict.fromkeys(("float32", narrow)):
            for kind in ("einsum", "matmul"):
                project = getattr(tensorflow_steps, kind)(work, dtype)
                name = contest.add(
                    f"{stored}, {dtype} {kind}",
                    work,
                    logits_step(work, project),
                )
                same[stored].append(name)
                if dtype == "float32":
                    wide[stored].append(name)
    work = operands["float32"]
    if not as_list:
        name = contest.add(
            "float32, XLA",
            work,
            logits_step(work, tensorflow_steps.einsum(work), xla=True),
        )
        same["float32"].append(name)
        wide["float32"].append(name)
        for stored in STORED:
            for kind, step in pytorch_steps.steps(
                operands[stored], device
            ).items():
                contest.add(f"{stored}, {kind}", operands[stored], step)
    # Of int8, dequantising is a part of what the float32 graph has to do.
    baselines = {
        stored: wide["int8" if stored == "int8" else "float32"]
        for stored in operands
    }
    return contest.rows(question, rounds, baselines, same)


def pooling(device: str, rounds: int) -> list[Row]:
    """Y alone, which is written to memory."""
    rows = []
    for shape in SHAPES:
        contest = Round(device)
        operands = {stored: Operands(shape, stored) for stored in STORED[:2]}
        if device == "cpu" or library.gpu_problem() is None:
            for stored, work in operands.items():
                contest.add(
                    f"native {stored}",
                    work,
                    pooled_step(work, tensorflow_steps.native_pooled),
                )
        work = operands["float32"]
        graphs = [
            contest.add(f"float32 {kind}", work, pooled_step(work, pool))
            for kind, pool in (
                ("einsum", tensorflow_steps.einsum_pooled),
                ("matmul", tensorflow_steps.matmul_pooled),
            )
        ]
        baselines = {stored: graphs for stored in operands}
        rows += contest.rows("pooling", rounds, baselines)
    return rows


def padding(device: str, rounds: int) -> list[Row]:
    """Half the tokens padded against none."""
    rows = []
    for shape in SHAPES:
        works = {
            stored: {
                f"{padded:.0%} padded": Operands(shape, stored, padded=padded)
                for padded in (0.5, 0.0)
            }
            for stored in STORED
        }
        rows += _native_pairs(device, "padding", rounds, works)
    return rows


def width(device: str, rounds: int) -> list[Row]:
    """Rows of 1024 numbers against as many numbers in rows of 768."""
    rows = []
    for usual, wide in zip(SHAPES, WIDE_SHAPES, strict=False):
        works = {
            stored: {
                f"E{shape.features}": Operands(shape, stored)
                for shape in (wide, usual)
            }
            for stored in STORED
        }
        rows += _native_pairs(device, "width", rounds, works)
    return rows


def _native_pairs(device, question, rounds, works):
    """Of each stored type two works, the second the first one's baseline."""
    contest = Round(device)
    baselines = {}
    for stored, pair in works.items():
        for what, work in pair.items():
            name = contest.add(
                f"native {stored}, {what}",
                work,
                logits_step(work, tensorflow_steps.native(work)),
            )
            baselines[stored] = [name]
    return contest.rows(question, rounds, baselines)


def peak(device: str, rounds: int) -> list[Row]:
    """What the processor can do at most."""
    measured = peaks.measure_peaks()
    return [
        Row(
            "cpu",
            "peak",
            f"{peaks.threads()} threads",
            "",
            name,
            round(rate / 1e9, 1),
            round(rate / 1e9, 1),
            "GB/s" if name == "bandwidth" else "GFLOP/s",
        )
        for name, rate in measured.items()
    ]


QUESTIONS = {
    function.__name__: function
    for function in (peak, speed, layers, pooling, padding, width, memory, fit)
}
CPU_ONLY = ("peak", "memory", "fit")
