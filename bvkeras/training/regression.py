"""Regression on the mean of the hidden states: the head to compare with."""

import os
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.memory import require_memory
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import naming_damage
from bvkeras.errors import ArgumentError
from bvkeras.models.linear_probe import LinearProbe, token_mean
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import (
    REGRESSION,
    RESULT_FILE,
    RESULT_SCHEMA,
    TrainedHead,
    require_same_head,
    save_head,
)
from bvkeras.training.penalized_regression import (
    NUM_FITS,
    fit_labels,
    fit_regression,
)

_BATCH_SIZE = 64
_MEMORY_SHARE = 0.9


def train_regression(
    task: TaskSpec,
    cache: HiddenStateCache,
    directory: str | os.PathLike,
    *,
    seed: int = 0,
) -> TrainedHead:
    """Fits a regression to the mean of all hidden states, and saves it.

    Logistic regression for classes, one for each label where a text may have
    several, and ridge regression for scores, all by
    scikit-learn, on the mean over each text's tokens of every hidden state:
    what anyone would try first, on what a pooled head reads. The penalty is
    chosen by cross-validation on the cache's rows; see
    `bvkeras.training.penalized_regression.fit_regression`.

    The cache is read once and batch by batch; in memory are the means,
    `rows · layers · features` float32 numbers.

    Args:
        task: TaskSpec. Of classes, of labels or of scores.
        cache: HiddenStateCache of the training split.
        directory: str or path. Gets `head.keras`, a
            `bvkeras.models.LinearProbe`, and `head.json`.
        seed: int. Seed of the folds. Defaults to `0`.

    Returns:
        TrainedHead, as of a pooled head.

    Raises:
        ArgumentError: the task is one of spans, whose outputs are of tokens.
        CacheError: a shard of the cache is damaged, or the means do not fit
            in memory.
        RunError: `directory` holds another head, or another process is using
            it.
    """
    if not task.traits.has_regression:
        raise ArgumentError(
            f"head: expected pooled for {task.name}, whose outputs are of "
            "tokens, got regression"
        )
    directory = pathlib.Path(directory)
    settings = {
        "cache": cache.manifest.identity,
        "label_names": task.label_names and list(task.label_names),
        "head": REGRESSION,
        "seed": seed,
    }
    result_path = directory / RESULT_FILE
    with fileio.directory_lock(directory):
        fileio.remove_leftovers(directory)
        if result_path.exists():
            found = fileio.read_json(result_path, RESULT_SCHEMA)["settings"]
            require_same_head(directory, found, settings)
        else:
            _train(task, cache, directory, settings)
    return TrainedHead.open(directory)


def _train(
    task: TaskSpec,
    cache: HiddenStateCache,
    directory: pathlib.Path,
    settings: dict[str, Any],
) -> None:
    began = time.monotonic()
    num_classes = None if task.is_regression else task.num_labels
    features, labels = _mean_hidden_states(cache), cache.labels()
    num_fits = NUM_FITS * (task.num_labels if task.several_labels else 1)
    with progress_bar("fit regression", num_fits, "fits") as bar:
        if task.several_labels:
            found = fit_labels(features, labels, settings["seed"], bar)
        else:
            found = fit_regression(
                features, labels, num_classes, settings["seed"], bar
            )
    model = LinearProbe(
        num_classes,
        cache.num_layers,
        cache.hidden_dim,
        several_labels=task.several_labels,
        name="head",
    )
    model.set_weights([found.kernel, found.bias])
    record = {
        "seconds": time.monotonic() - began,
        "history": [],
        "epoch_history": {},
        "penalty": _penalty(found.penalty),
        "settings": settings,
    }
    save_head(directory, task, model, record)


def _penalty(penalty: float | tuple[float, ...]) -> Any:
    """Of each label one, and None where nothing was learned."""
    if isinstance(penalty, tuple):
        return [_penalty(one) for one in penalty]
    return penalty if np.isfinite(penalty) else None


def _mean_hidden_states(cache: HiddenStateCache) -> np.ndarray:
    """Means over the tokens, float32 `(rows, layers, features)`."""
    shape = (len(cache), cache.num_layers, cache.hidden_dim)
    require_memory(
        f"the mean of the hidden states of {cache.directory}",
        4 * int(np.prod(shape)),
        _MEMORY_SHARE,
        "take fewer rows or layers",
    )
    means, done = np.empty(shape, np.float32), 0
    mean = tf.function(token_mean, reduce_retracing=True, autograph=False)
    with (
        naming_damage(cache),
        progress_bar("mean hidden states", len(cache), "examples") as bar,
    ):
        # As they are stored: the mean reads int8 as it is.
        for inputs, labels in cache.as_dataset(_BATCH_SIZE, dtype=cache.dtype):
            rows = len(labels)
            means[done : done + rows] = (
                mean(*inputs).numpy().reshape(rows, *shape[1:])
            )
            done += rows
            bar.advance(rows)
    return means
