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

from bvkeras import fileio
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.predictions import write_predictions
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec


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


def evaluate(
    task: TaskSpec,
    split: str,
    directory: str | os.PathLike,
    settings: dict[str, Any],
    ids: Sequence[str],
    labels: np.ndarray,
    predict: Callable[[], np.ndarray],
) -> Evaluation:
    """Predicts, scores, and writes `<split>.tsv` and `<split>.json`.

    Done before with the same settings, it reads the result instead.

    Args:
        task: TaskSpec. Gives metrics and label names.
        split: str. Name of the split.
        directory: str or path. Where the two files go.
        settings: dict. JSON values that decide the result.
        ids: sequence of str. The examples' ids.
        labels: array `(examples,)`. Classes or scores.
        predict: callable. Returns the model's outputs, an array
            `(examples, outputs)`: logits, or one score.

    Returns:
        Evaluation.

    Raises:
        RunError: the files are there and were made with other settings.
    """
    directory = pathlib.Path(directory)
    path = directory / f"{split}.tsv"
    record_path = directory / f"{split}.json"
    if record_path.exists():
        record = fileio.read_json(record_path)
        fileio.require_same(record_path, record["settings"], settings)
        return Evaluation(record["metrics"], record["seconds"], path)
    began = time.monotonic()
    outputs = np.asarray(predict(), np.float32)
    seconds = time.monotonic() - began
    if task.is_regression:
        scores = predictions = outputs[:, 0]
    else:
        scores = scipy.special.softmax(outputs.astype(np.float64), axis=-1)
        predictions = outputs.argmax(axis=-1)
    metrics = compute_metrics(task.metrics, labels, predictions)
    write_predictions(
        path, ids, predictions, labels, scores, task.label_names
    )
    fileio.write_json(
        record_path,
        {"metrics": metrics, "seconds": seconds, "settings": settings},
    )
    return Evaluation(metrics, seconds, path)


def predict_from_cache(
    model: keras.Model, cache: HiddenStateCache, batch_size: int = 64
) -> np.ndarray:
    """A head's outputs for every example of a cache, in its order.

    Args:
        model: a pooled head.
        cache: HiddenStateCache.
        batch_size: int. Examples a batch. Defaults to `64`.

    Returns:
        float32 array `(examples, outputs)`.
    """
    outputs = []
    with progress_bar("predict", len(cache), "examples") as bar:
        for inputs, labels in cache.as_dataset(batch_size):
            outputs.append(np.asarray(model.predict_on_batch(inputs)))
            bar.advance(len(labels))
    return np.concatenate(outputs).astype(np.float32)
