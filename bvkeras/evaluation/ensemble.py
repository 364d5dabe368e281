"""Two classifiers or regressors together: the mean or maximum of both."""

import dataclasses
import os
import pathlib

import numpy as np

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.outputs import chosen_labels
from bvkeras.evaluation.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)
from bvkeras.tasks.spec import TaskSpec

RULES = ("mean", "maximum")


def combine_predictions(
    first: Predictions, second: Predictions, rule: str
) -> Predictions:
    """What two systems predict of the same examples, taken together.

    Args:
        first: Predictions.
        second: Predictions. Of the same examples in the same order.
        rule: str. `"mean"` or `"maximum"`: what is taken of the two
            probabilities of each class; the class with the highest is
            predicted, the first of several. Of regression, and of several
            labels a text, only the mean.

    Returns:
        Predictions. Scores of classes are scaled to add up to 1.

    Raises:
        ArgumentError: an unknown rule, the maximum of what has none, or
            predictions that are not of the same examples.

    Reference:
        Kittler et al. 1998, "On combining classifiers": the sum and the
        maximum rule.
    """
    if rule not in RULES:
        raise ArgumentError(
            f"rule: expected one of {', '.join(RULES)}, got {rule!r}"
        )
    if (
        first.label_names != second.label_names
        or not np.array_equal(first.ids, second.ids)
        or not np.array_equal(first.labels, second.labels)
    ):
        raise ArgumentError(
            "second: expected predictions of the same examples, in the same "
            "order, as first"
        )
    if first.label_names is None or first.several_labels:
        if rule != "mean":
            kind = "multilabel" if first.several_labels else "regression"
            raise ArgumentError(
                f"rule: expected mean for a {kind} task, got {rule!r}"
            )
        scores = (first.scores + second.scores) / 2
        if first.several_labels:
            return dataclasses.replace(
                first, predictions=chosen_labels(scores), scores=scores
            )
        return dataclasses.replace(first, predictions=scores, scores=scores)
    combine = np.add if rule == "mean" else np.maximum
    scores = combine(first.scores, second.scores)
    scores = scores / scores.sum(axis=1, keepdims=True)
    return dataclasses.replace(
        first, predictions=scores.argmax(axis=1), scores=scores
    )


def evaluate_ensemble(
    task: TaskSpec,
    first: str | os.PathLike,
    second: str | os.PathLike,
    path: str | os.PathLike,
    rule: str,
) -> Evaluation:
    """Scores two systems together, from their predictions files.

    Args:
        task: TaskSpec. Gives the metrics; no span task.
        first: str or path. A predictions file.
        second: str or path. Another of the same examples.
        path: str or path. Where the predictions of both are written.
        rule: str. As `combine_predictions`.

    Returns:
        Evaluation. It took no time of note: `seconds` is 0.

    Raises:
        ArgumentError: as `combine_predictions`.
        DataError: a file is no predictions file.
        OSError: a file cannot be read or written.
    """
    together = combine_predictions(
        read_predictions(first), read_predictions(second), rule
    )
    path = pathlib.Path(path)
    write_predictions(
        path,
        together.ids,
        together.predictions,
        together.labels,
        together.scores,
        together.label_names,
    )
    metrics = compute_metrics(
        task.metrics, together.labels, together.predictions
    )
    return Evaluation(metrics, 0.0, path)
