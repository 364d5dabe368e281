"""The loss a task is trained with."""

import keras

from bvkeras.tasks.spec import TaskSpec


def task_loss(task: TaskSpec) -> keras.losses.Loss:
    """Cross-entropy on logits, or mean squared error for a regression."""
    if task.is_regression:
        return keras.losses.MeanSquaredError()
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
