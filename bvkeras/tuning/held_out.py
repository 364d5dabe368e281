"""The part of the training rows that chooses, and what it says."""

import keras_tuner
import numpy as np

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.kinds import kind_of
from bvkeras.evaluation.metric_direction import (
    LOWER_IS_BETTER,
    diverged_score,
)
from bvkeras.tasks.spec import TaskSpec

# Its own, so that searches with other seeds hold the same rows out.
_SPLIT_SEED = 20221


def held_out_split(
    num_examples: int, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Training rows in two: those to train on, and those that choose.

    The same for all searches over as many rows.

    Args:
        num_examples: int. Rows there are.
        fraction: float. Part that is held out.

    Returns:
        Two sorted int64 arrays of positions, together all.

    Raises:
        ArgumentError: `fraction` leaves one of them without a row.
    """
    count = round(fraction * num_examples) if 0 < fraction < 1 else 0
    if not 0 < count < num_examples:
        raise ArgumentError(
            f"held_out: expected a part between 0 and 1 that leaves rows on "
            f"both sides, got {fraction} of {num_examples}"
        )
    order = np.random.default_rng(_SPLIT_SEED).permutation(num_examples)
    return np.sort(order[count:]), np.sort(order[:count])


def further_split(
    num_examples: int, fraction: float, part: int
) -> tuple[np.ndarray, np.ndarray]:
    """Training rows in two, the held-out ones not those of `held_out_split`.

    Parts are as large as its part, or all that it leaves where that is less.
    They are disjoint as long as there are enough rows; then they come again.

    Args:
        num_examples: int. Rows there are.
        fraction: float. As of `held_out_split`.
        part: int. Which of them, from 0.

    Returns:
        As `held_out_split`.

    Raises:
        ArgumentError: as of `held_out_split`.
    """
    chosen = held_out_split(num_examples, fraction)[1]
    order = np.random.default_rng(_SPLIT_SEED).permutation(num_examples)
    others = order[len(chosen) :]
    count = min(len(chosen), len(others))
    first = part % (len(others) // count) * count
    held_out = others[first : first + count]
    return np.setdiff1d(order, held_out), np.sort(held_out)


def objective(task: TaskSpec) -> keras_tuner.Objective:
    """What a search makes as good as it can: the task's first metric."""
    metric = task.metrics[0]
    direction = "min" if metric in LOWER_IS_BETTER else "max"
    return keras_tuner.Objective(f"held_out_{metric}", direction)


def held_out_score(
    task: TaskSpec, outputs: np.ndarray, labels: np.ndarray
) -> float:
    """A model's score by the task's first metric, over all rows at once.

    Args:
        task: TaskSpec.
        outputs: float array `(rows, outputs)`.
        labels: array `(rows,)`, of several labels a text `(rows, labels)`.

    Returns:
        The score; where an output is not finite, as of a model whose training
        diverged, one worse than any other (`diverged_score`).
    """
    metric = task.metrics[0]
    if not np.isfinite(outputs).all():
        return diverged_score(metric)
    _, predictions = kind_of(task.kind).read_outputs(outputs)
    return compute_metrics([metric], labels, predictions)[metric]
