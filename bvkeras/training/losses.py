"""The loss a task is trained with, and the labels it takes."""

import keras
import tensorflow as tf

from bvkeras.models.span_cross_entropy import SpanCrossEntropy
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec


def task_loss(task: TaskSpec) -> keras.losses.Loss:
    """Cross-entropy on logits, or mean squared error for a regression.

    Of several labels a text: the mean of each label's binary cross-entropy.
    Of a span task: cross-entropy of the start and of the end, over tokens.
    """
    match task.kind:
        case Kind.SPAN:
            return SpanCrossEntropy()
        case Kind.SCORE:
            return keras.losses.MeanSquaredError()
        case Kind.LABELS:
            return keras.losses.BinaryCrossentropy(from_logits=True)
        case Kind.CLASSES:
            return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def label_signature(task: TaskSpec) -> tf.TensorSpec:
    """Shape and type of a batch of a task's labels."""
    match task.kind:
        case Kind.SPAN:
            return tf.TensorSpec((None, 2), tf.int64)
        case Kind.SCORE:
            return tf.TensorSpec((None,), tf.float32)
        case Kind.LABELS:
            return tf.TensorSpec((None, task.num_labels), tf.float32)
        case Kind.CLASSES:
            return tf.TensorSpec((None,), tf.int64)
