"""Regression on the mean of the hidden states: the head to compare with."""

import os
import pathlib
from typing import Any

import numpy as np

from bvkeras import fileio
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import naming_damage
from bvkeras.errors import ArgumentError
from bvkeras.models.linear_probe import LinearProbe
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.closed_form import closed_form, probe_arguments
from bvkeras.training.head import (
    REGRESSION,
    RESULT_FILE,
    RESULT_SCHEMA,
    TrainedHead,
    check_cache_task,
    require_same_head,
    save_head,
)


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
    what anyone would try first, on what a pooled head reads. Of pairs apart
    on the cosines, differences and products of both means. The penalty is
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
        ArgumentError: the task is one of spans, whose outputs are of tokens;
            or the cache is another task's.
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
    check_cache_task(task, cache)
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
    with naming_damage(cache):
        found = closed_form(task, cache, settings["seed"])
    regression = found.regression
    model = LinearProbe(**probe_arguments(task, cache))
    model.set_weights([regression.kernel, regression.bias])
    record = {
        "seconds": found.seconds,
        "history": [],
        "epoch_history": {},
        "penalty": _penalty(regression.penalty),
        "settings": settings,
    }
    save_head(directory, task, model, record)


def _penalty(penalty: float | tuple[float, ...]) -> Any:
    """Of each label one, and None where nothing was learned."""
    if isinstance(penalty, tuple):
        return [_penalty(one) for one in penalty]
    return penalty if np.isfinite(penalty) else None
