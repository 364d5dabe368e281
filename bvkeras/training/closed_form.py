"""The regression on the means of a cache's hidden states, found once."""

import dataclasses
import time
import weakref

import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.memory import require_memory
from bvkeras.models.linear_probe import LinearProbe
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.penalized_regression import (
    NUM_FITS,
    PenalizedRegression,
    fit_labels,
    fit_regression,
)

_BATCH_SIZE = 64
_MEMORY_SHARE = 0.9


@dataclasses.dataclass(frozen=True)
class ClosedForm:
    """A regression, and what it took to find it.

    Attributes:
        regression: PenalizedRegression.
        seconds: float.
    """

    regression: PenalizedRegression
    seconds: float


# By the cache, as long as it is there: what starts from it and what is it are
# asked for one after the other, and a search asks for every trial.
_found: weakref.WeakKeyDictionary[HiddenStateBatches, dict] = (
    weakref.WeakKeyDictionary()
)


def closed_form(
    task: TaskSpec, cache: HiddenStateBatches, seed: int = 0
) -> ClosedForm:
    """The regression on the means of a cache's hidden states.

    Of pairs apart on the cosines, differences and products of their means;
    see `bvkeras.models.LinearProbe`. Asked for the same cache again, it is
    not computed again.

    Args:
        task: TaskSpec. Of classes, of labels or of scores.
        cache: HiddenStateBatches of the training rows.
        seed: int. Of the folds that choose the penalty.

    Raises:
        CacheError: the features do not fit in memory.
    """
    found = _found.setdefault(cache, {})
    key = (task.kind, task.num_labels, seed)
    if key not in found:
        began = time.monotonic()
        regression = _fit(task, cache, seed)
        found[key] = ClosedForm(regression, time.monotonic() - began)
    return found[key]


def probe_arguments(task: TaskSpec, cache: HiddenStateBatches) -> dict:
    """What a `LinearProbe` of a task and a cache is made of."""
    return {
        "num_classes": None if task.is_regression else task.num_labels,
        "num_layers": cache.num_layers,
        "hidden_dim": cache.hidden_dim,
        "several_labels": task.several_labels,
        "pairs": task.is_apart,
        "name": "head",
    }


def _fit(
    task: TaskSpec, cache: HiddenStateBatches, seed: int
) -> PenalizedRegression:
    return fit_features(task, _features(task, cache), cache.labels(), seed)


def fit_features(
    task: TaskSpec, features: np.ndarray, labels: np.ndarray, seed: int
) -> PenalizedRegression:
    """The regression of a task's kind on features.

    Args:
        task: TaskSpec. Of classes, of labels or of scores.
        features: float array `(rows, parts, features)`; standardised in
            place, part by part.
        labels: array, as the kind's labels are.
        seed: int. Of the folds that choose the penalty.
    """
    num_fits = NUM_FITS * (task.num_labels if task.several_labels else 1)
    with progress_bar("fit regression", num_fits, "fits") as bar:
        if task.several_labels:
            return fit_labels(features, labels, seed, bar)
        num_classes = None if task.is_regression else task.num_labels
        return fit_regression(features, labels, num_classes, seed, bar)


def _features(task: TaskSpec, cache: HiddenStateBatches) -> np.ndarray:
    """What a `LinearProbe` sees, float32 `(rows, layers, a layer's share)`."""
    probe = LinearProbe(**probe_arguments(task, cache))
    shape = (len(cache), probe.num_features)
    require_memory(
        f"the features of {cache!r}",
        4 * int(np.prod(shape)),
        _MEMORY_SHARE,
        "take fewer rows or layers",
    )
    found, done = np.empty(shape, np.float32), 0
    features = tf.function(
        probe.features, reduce_retracing=True, autograph=False
    )
    with progress_bar("mean hidden states", len(cache), "examples") as bar:
        # As they are stored: the mean reads int8 as it is.
        for inputs, labels in cache.as_dataset(_BATCH_SIZE, dtype=cache.dtype):
            rows = len(labels)
            found[done : done + rows] = features(*inputs).numpy()
            done += rows
            bar.advance(rows)
    return found.reshape(len(cache), cache.num_layers, -1)
