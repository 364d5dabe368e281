"""How fast is the native linear pooling, and how much memory does it take?

Four questions, each against what a TensorFlow user has without it:

    speed    forward and backward of a head's logits (gradients of W, b, V and
             d; none of H), for each stored type of hidden states, against the
             fastest float32 graph of the same shape, and against the fastest
             graph given the same stored type
    pooling  the same of `linear_pooling`, which gives Y
    padding  the time with half the tokens padded against none padded
    memory   peak memory of one step above that of its inputs
    fit      a step of `model.fit` of a head, native against reference

Candidates take turns in one process, so that each round's ratio compares
times under the same load; medians of the rounds' ratios are reported. Memory
is measured in a process for each candidate.

    python benchmarks/linear_pooling.py [speed pooling padding memory fit]

Results go to benchmarks/results/linear_pooling.csv.
"""

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import bvkeras
from bvkeras.ops import library
from bvkeras.ops.linear_pooling import (
    linear_pooling,
    linear_pooling_projection,
)

_RESULTS = pathlib.Path(__file__).parent / "results" / "linear_pooling.csv"
_COLUMNS = (
    "question",
    "shape",
    "stored",
    "candidate",
    "baseline",
    "median",
    "baseline_median",
    "unit",
    "ratio",
    "lowest_ratio",
)


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a step.

    Attributes:
        per_position: bool. A head on sentences, with weights for each
            position; otherwise one on spans, with weights all tokens share.
    """

    batch: int
    tokens: int
    layers: int
    features: int
    units: int
    outputs: int = 2
    per_position: bool = True

    def __str__(self) -> str:
        return (
            f"B{self.batch} T{self.tokens} L{self.layers} E{self.features} "
            f"units {self.units}"
        )


SHAPES = (
    Shape(16, 128, 13, 768, 16),
    Shape(16, 128, 13, 768, 64),
    Shape(16, 128, 7, 384, 16),
    Shape(4, 384, 13, 768, 384, per_position=False),
)
_MEMORY_SHAPE = Shape(16, 384, 13, 768, 384, per_position=False)


class Operands:
    """Random inputs and weights of a shape, and the gradient of its output."""

    def __init__(self, shape: Shape, stored: str, padded: float = 0.0):
        random = np.random.default_rng(0)
        size = (shape.batch, shape.tokens, shape.layers, shape.features)
        values = random.standard_normal(size, np.float32)
        self.stored = stored
        self.shape = shape
        if stored == "int8":
            scales = np.abs(values).max(-1) / 127
            values = np.rint(values / scales[..., None])
            self.hidden_states = (
                tf.constant(values.astype(np.int8)),
                tf.constant(scales),
            )
        else:
            self.hidden_states = tf.cast(tf.constant(values), stored)
        positions = (shape.tokens,) if shape.per_position else ()
        self.weights = [
            tf.constant(random.standard_normal(size, np.float32) * scale)
            for size, scale in (
                ((shape.features, shape.units), shape.features**-0.5),
                ((shape.units,), 0.1),
                ((*positions, shape.layers, shape.units, shape.outputs), 0.01),
                ((shape.outputs,), 0.1),
            )
        ]
        real = round(shape.tokens * (1 - padded))
        self.mask = None
        if padded:
            mask = np.arange(shape.tokens) < real
            self.mask = tf.constant(np.tile(mask, (shape.batch, 1)))


def _native(operands: Operands, keep: str = "stash") -> Callable:
    def project(hidden_states, kernel, bias, projection):
        return linear_pooling_projection(
            hidden_states,
            kernel,
            bias,
            projection,
            operands.mask,
            keep=keep,
            implementation="native",
        )

    return project


def _widen(hidden_states, dtype):
    """What a graph without a type of its own has to begin with."""
    if isinstance(hidden_states, tuple):
        values, scales = hidden_states
        return tf.cast(values, dtype) * tf.cast(scales[..., None], dtype)
    return tf.cast(hidden_states, dtype)


def _einsum(operands: Operands, dtype: str = "float32") -> Callable:
    def project(hidden_states, kernel, bias, projection):
        hidden_states = _widen(hidden_states, dtype)
        product = tf.einsum(
            "btle,ea->btla", hidden_states, tf.cast(kernel, dtype)
        )
        pooled = tf.nn.gelu(tf.cast(product, "float32") + bias, False)
        v = "tlac" if operands.shape.per_position else "lac"
        return tf.einsum(f"btla,{v}->btc", pooled, projection)

    return project


def _matmul(operands: Operands, dtype: str = "float32") -> Callable:
    shape = operands.shape

    def project(hidden_states, kernel, bias, projection):
        rows = tf.reshape(_widen(hidden_states, dtype), (-1, shape.features))
        product = tf.cast(tf.matmul(rows, tf.cast(kernel, dtype)), "float32")
        pooled = tf.nn.gelu(product + bias, False)
        width = shape.layers * shape.units
        pooled = tf.reshape(pooled, (shape.batch, shape.tokens, width))
        if not shape.per_position:
            return pooled @ tf.reshape(projection, (width, shape.outputs))
        by_token = tf.transpose(pooled, (1, 0, 2)) @ tf.reshape(
            projection, (shape.tokens, width, shape.outputs)
        )
        return tf.transpose(by_token, (1, 0, 2))

    return project


def _step(operands: Operands, project: Callable, xla: bool = False):
    """Compiled forward and backward pass of the logits."""
    per_position = operands.shape.per_position

    @tf.function(jit_compile=xla)
    def step(hidden_states, *weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            *others, d = weights
            logits = project(hidden_states, *others) + d
            if per_position:
                logits = tf.reduce_sum(logits, axis=1)
            loss = tf.reduce_mean(tf.square(logits))
        return tape.gradient(loss, weights)

    return lambda: step(operands.hidden_states, *operands.weights)


def _pooling_step(operands: Operands, pool: Callable):
    @tf.function
    def step(hidden_states, kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch((kernel, bias))
            pooled = tf.cast(pool(hidden_states, kernel, bias), "float32")
            loss = tf.reduce_mean(tf.square(pooled))
        return tape.gradient(loss, (kernel, bias))

    return lambda: step(operands.hidden_states, *operands.weights[:2])


def take_turns(
    candidates: dict[str, Callable], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each candidate in each round; one round warms up."""
    seconds = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, candidate in candidates.items():
            began = time.perf_counter()
            for tensor in tf.nest.flatten(candidate()):
                tensor.numpy()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _rows(question, shape, stored, seconds, ours, baselines):
    """Our candidates against the fastest of the baselines."""
    best = min(baselines, key=lambda name: statistics.median(seconds[name]))
    rows = []
    for name in ours:
        ratios = [
            theirs / own
            for theirs, own in zip(seconds[best], seconds[name], strict=True)
        ]
        rows.append(
            [
                question,
                str(shape),
                stored,
                name,
                best,
                round(1e3 * statistics.median(seconds[name]), 3),
                round(1e3 * statistics.median(seconds[best]), 3),
                "ms",
                round(statistics.median(ratios), 2),
                round(min(ratios), 2),
            ]
        )
    return rows


def speed(rounds: int) -> list[list]:
    """The logits' forward and backward pass, of each shape and type."""
    rows = []
    for shape in SHAPES:
        full = Operands(shape, "float32")
        for stored in ("float32", "bfloat16", "float16", "int8"):
            stored_operands = Operands(shape, stored)
            candidates = {
                f"native {stored}": _step(
                    stored_operands, _native(stored_operands)
                ),
                f"native {stored} recompute": _step(
                    stored_operands, _native(stored_operands, "recompute")
                ),
                "float32 einsum": _step(full, _einsum(full)),
                "float32 matmul": _step(full, _matmul(full)),
            }
            same = ["float32 einsum", "float32 matmul"]
            if stored == "float32":
                candidates["float32 XLA"] = _step(full, _einsum(full), xla=True)
                same.append("float32 XLA")
            else:
                same = []
                for dtype in ("float32", stored.replace("int8", "bfloat16")):
                    for kind, make in (
                        ("einsum", _einsum),
                        ("matmul", _matmul),
                    ):
                        name = f"{stored} stored, {dtype} {kind}"
                        candidates[name] = _step(
                            stored_operands, make(stored_operands, dtype)
                        )
                        same.append(name)
            seconds = take_turns(candidates, rounds)
            ours = [name for name in candidates if name.startswith("native")]
            rows += _rows(
                "speed, against float32",
                shape,
                stored,
                seconds,
                ours,
                ["float32 einsum", "float32 matmul"],
            )
            rows += _rows(
                "speed, same stored type", shape, stored, seconds, ours, same
            )
    return rows


def pooling(rounds: int) -> list[list]:
    """Y's forward and backward pass."""
    rows = []
    for shape in SHAPES:
        full = Operands(shape, "float32")

        def einsum(hidden_states, kernel, bias):
            product = tf.einsum("btle,ea->btla", hidden_states, kernel)
            return tf.nn.gelu(product + bias, False)

        def matmul(hidden_states, kernel, bias, shape=shape):
            rows = tf.reshape(hidden_states, (-1, shape.features))
            return tf.nn.gelu(tf.matmul(rows, kernel) + bias, False)

        def native(hidden_states, kernel, bias):
            return linear_pooling(
                hidden_states, kernel, bias, implementation="native"
            )

        for stored in ("float32", "bfloat16"):
            operands = Operands(shape, stored)
            seconds = take_turns(
                {
                    f"native {stored}": _pooling_step(operands, native),
                    "float32 einsum": _pooling_step(full, einsum),
                    "float32 matmul": _pooling_step(full, matmul),
                },
                rounds,
            )
            rows += _rows(
                "pooling, against float32",
                shape,
                stored,
                seconds,
                [f"native {stored}"],
                ["float32 einsum", "float32 matmul"],
            )
    return rows


def padding(rounds: int) -> list[list]:
    """The time with half the tokens padded, as a share of all real."""
    rows = []
    for shape in SHAPES:
        for stored in ("float32", "bfloat16"):
            half = Operands(shape, stored, padded=0.5)
            full = Operands(shape, stored)
            seconds = take_turns(
                {
                    "half padded": _step(half, _native(half)),
                    "none padded": _step(full, _native(full)),
                },
                rounds,
            )
            rows += _rows(
                "padding",
                shape,
                stored,
                seconds,
                ["half padded"],
                ["none padded"],
            )
    return rows


def _memory_candidate(name: str) -> tuple[Operands, Callable]:
    stored = "bfloat16" if "bfloat16 H" in name else "float32"
    operands = Operands(_MEMORY_SHAPE, stored)
    if name.startswith("native"):
        keep = "recompute" if "recompute" in name else "stash"
        return operands, _step(operands, _native(operands, keep))
    make = _einsum if "einsum" in name else _matmul
    return operands, _step(operands, make(operands))


def _status_bytes(name: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status: no {name}")


def _measure_memory(name: str) -> int:
    """Peak bytes of one step above what is held before it."""
    small = Operands(Shape(2, 8, 2, 32, 16, per_position=False), "float32")
    _step(small, _native(small))()
    _step(small, _einsum(small))()
    _, step = _memory_candidate(name)
    # Forgets the peak so far, which the making of the inputs reached.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _status_bytes("VmRSS")
    step()
    return _status_bytes("VmHWM") - before


def memory(rounds: int) -> list[list]:
    """Peak memory of one step above its inputs, in a process of its own."""
    ours = {
        "float32": ("native float32 H, stash", "native float32 H, recompute"),
        "bfloat16": (
            "native bfloat16 H, stash",
            "native bfloat16 H, recompute",
        ),
    }
    graphs = {
        "float32": ("float32 H, einsum", "float32 H, matmul"),
        "bfloat16": ("bfloat16 H, einsum", "bfloat16 H, matmul"),
    }
    peaks = {}
    for name in (*sum(ours.values(), ()), *sum(graphs.values(), ())):
        command = [sys.executable, __file__, "--measure-memory", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        peaks[name] = json.loads(done.stdout.splitlines()[-1])
    # The fastest graph and the one that takes least are not the same.
    return [
        [
            "memory",
            str(_MEMORY_SHAPE),
            stored,
            name,
            graph,
            round(peaks[name] / 1e6, 1),
            round(peaks[graph] / 1e6, 1),
            "MB",
            round(peaks[graph] / peaks[name], 1),
            round(peaks[graph] / peaks[name], 1),
        ]
        for stored, names in ours.items()
        for name in names
        for graph in dict.fromkeys((*graphs["float32"], *graphs[stored]))
    ]


def fit(rounds: int) -> list[list]:
    """A step of `model.fit`; with dropout it goes through `linear_pooling`."""
    shape = SHAPES[2]
    rows = []
    for stored in ("float32", "bfloat16"):
        operands = Operands(shape, stored)
        mask = np.ones((shape.batch, shape.tokens), bool)
        labels = np.arange(shape.batch) % 2
        batches = (
            tf.data.Dataset.from_tensors(
                ((operands.hidden_states, mask), labels)
            )
            .repeat(10)
            .cache()
        )
        for dropout in (0.0, 0.3):
            candidates = {}
            for implementation in ("native", "reference"):
                model = bvkeras.models.PoolingClassifier(
                    2,
                    shape.units,
                    shape.tokens,
                    dropout=dropout,
                    seed=0,
                    implementation=implementation,
                    dtype="mixed_bfloat16"
                    if stored == "bfloat16"
                    else "float32",
                )
                model.compile(
                    keras.optimizers.AdamW(1e-3),
                    keras.losses.SparseCategoricalCrossentropy(
                        from_logits=True
                    ),
                    jit_compile=False,
                )
                name = f"fit, {implementation}, dropout {dropout}"
                candidates[name] = _fit_of(model, batches)
            seconds = take_turns(candidates, rounds)
            native, reference = candidates
            rows += _rows(
                "fit, ten steps", shape, stored, seconds, [native], [reference]
            )
    return rows


def _fit_of(model, batches):
    def run():
        model.fit(batches, epochs=1, shuffle=False, verbose=0)
        return model.bias.value

    return run


_QUESTIONS = {
    function.__name__: function
    for function in (speed, pooling, padding, memory, fit)
}


def main() -> None:
    """Asks the questions and writes the answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "questions", nargs="*", choices=[*_QUESTIONS, []], default=[]
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    parser.add_argument("--measure-memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_memory:
        print(json.dumps(_measure_memory(options.measure_memory)))
        return
    print(f"{platform.processor() or platform.machine()}: {library.describe()}")
    for name in options.questions or _QUESTIONS:
        rows = _QUESTIONS[name](options.rounds)
        _replace(options.results, rows)
        for row in rows:
            print(*row, sep=" | ", flush=True)


def _replace(path: pathlib.Path, rows: list[list]) -> None:
    """Puts the new answers in the place of earlier ones."""
    answered = {row[0] for row in rows}
    kept = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            kept = [
                r for r in list(csv.reader(file))[1:] if r[0] not in answered
            ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([*kept, *rows])


if __name__ == "__main__":
    main()
