"""The loss a task is trained with."""

import keras

from bvkeras.models.span_cross_entropy import SpanCrossEntropy
from bvkeras.tasks.spec import TaskSpec


def task_loss(task: TaskSpec) -> keras.losses.Loss:
    """Cross-entropy on logits, or mean squared error for a regression.

    Of a span task: cross-entropy of the start and of the end, over tokens.
    """
    if task.is_span:
        return SpanCrossEntropy()
    if task.is_regression:
        return keras.losses.MeanSquaredError()
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
