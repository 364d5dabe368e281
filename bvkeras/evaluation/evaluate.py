"""Scoring a system on a split, once: predictions file and metrics."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import scipy.special
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import naming_damage
from bvkeras.data.examples import Examples
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.predictions import write_predictions
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.finetune import Snapshot, predict_scores
from bvkeras.training.head import TrainedHead

# ids, labels, and the model's outputs `(examples, outputs)`
_Predicted = tuple[Sequence[str], np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a system reached on one split.

    Attributes:
        metrics: dict of metric to score.
        seconds: float. Time the predictions took.
        predictions_path: path of the TSV file.
    """

    metrics: dict[str, float]
    seconds: float
    predictions_path: pathlib.Path


def evaluate_head(
    task: TaskSpec,
    head: TrainedHead,
    cache: HiddenStateCache,
    directory: str | os.PathLike,
) -> Evaluation:
    """Scores a pooled head on the hidden states of a split.

    Writes `<split>.tsv`, the predictions, and `<split>.json`, the scores;
    done before, it reads them instead.

    Args:
        task: TaskSpec. Gives metrics and label names.
        head: TrainedHead.
        cache: HiddenStateCache of the split.
        directory: str or path. Where the two files go.

    Raises:
        ArgumentError: the cache is another task's, or of another encoder
            than the head was trained on.
        CacheError: a shard of the cache is damaged.
        RunError: the files are there and were made with something else.
    """
    _check_belongs(task, head, cache)
    settings = {
        "head": fileio.file_digest(head.model_path),
        "cache": cache.manifest.identity,
    }
    return _evaluate(
        task,
        cache.manifest.identity["split"],
        pathlib.Path(directory),
        settings,
        lambda: _predict_from_cache(head.load_model(), cache),
    )


def evaluate_snapshot(
    task: TaskSpec,
    snapshot: Snapshot,
    examples: Examples,
    directory: str | os.PathLike,
) -> Evaluation:
    """Scores a fine-tuned encoder with its own head on a split.

    Writes and reads the same two files as `evaluate_head`.

    Args:
        task: TaskSpec. Gives metrics and label names.
        snapshot: Snapshot. What `finetune` gave.
        examples: Examples. The split.
        directory: str or path. Where the two files go.

    Raises:
        RunError: the files are there and were made with something else.
    """
    settings = {"snapshot": snapshot.digest(), "data": examples.digest}

    def predict() -> _Predicted:
        encoder, model = snapshot.load_model(task.num_labels)
        tokens = tokenize_examples(examples, encoder, snapshot.max_tokens)
        return examples.ids, examples.labels, predict_scores(model, tokens)

    return _evaluate(
        task, examples.split, pathlib.Path(directory), settings, predict
    )


def _evaluate(
    task: TaskSpec,
    split: str,
    directory: pathlib.Path,
    settings: dict[str, Any],
    predict: Callable[[], _Predicted],
) -> Evaluation:
    path = directory / f"{split}.tsv"
    record_path = directory / f"{split}.json"
    if record_path.exists() and path.exists():
        record = fileio.read_json(record_path)
        fileio.require_same(record_path, record["settings"], settings)
        return Evaluation(record["metrics"], record["seconds"], path)
    began = time.monotonic()
    ids, labels, outputs = predict()
    seconds = time.monotonic() - began
    if task.is_regression:
        scores = predictions = outputs[:, 0]
    else:
        scores = scipy.special.softmax(outputs.astype(np.float64), axis=-1)
        predictions = outputs.argmax(axis=-1)
    metrics = compute_metrics(task.metrics, labels, predictions)
    write_predictions(path, ids, predictions, labels, scores, task.label_names)
    fileio.write_json(
        record_path,
        {"metrics": metrics, "seconds": seconds, "settings": settings},
    )
    return Evaluation(metrics, seconds, path)


def _predict_from_cache(
    model: keras.Model, cache: HiddenStateCache, batch_size: int = 64
) -> _Predicted:
    ids: list[str] = []
    labels: list[np.ndarray] = []
    outputs: list[np.ndarray] = []
    # `Model.predict_on_batch` would trace anew for every length of a batch.
    forward = tf.function(
        lambda inputs: model(inputs, training=False), reduce_retracing=True
    )
    with (
        naming_damage(cache),
        progress_bar("predict", len(cache), "examples") as bar,
    ):
        for batch in cache.batches(batch_size, dtype=cache.dtype):
            hidden_states = batch["hidden_states"]
            if "scales" in batch:
                hidden_states = (hidden_states, batch["scales"])
            outputs.append(forward((hidden_states, batch["mask"])).numpy())
            labels.append(batch["label"].numpy())
            ids += [name.decode("utf-8") for name in batch["id"].numpy()]
            bar.advance(len(batch["label"]))
    return ids, np.concatenate(labels), np.concatenate(outputs)


def _check_belongs(
    task: TaskSpec, head: TrainedHead, cache: HiddenStateCache
) -> None:
    identity = cache.manifest.identity
    if identity["task"] != task.name:
        raise ArgumentError(
            f"cache: {cache.directory} is of task {identity['task']}, expected "
            f"{task.name}"
        )
    for name in ("task", "encoder", "tokenizer", "layers", "max_tokens"):
        if head.cache_identity[name] != identity[name]:
            raise ArgumentError(
                f"cache: {cache.directory} has {name} {identity[name]}, the "
                f"head was trained with {head.cache_identity[name]}"
            )
