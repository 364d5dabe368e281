"""How each kind of task is trained: `kind_of` finds the object."""

import abc
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.models.pooling_model import PoolingModel
from bvkeras.models.pooling_regressor import PoolingRegressor
from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.models.pooling_tagger import PoolingTagger
from bvkeras.models.span_cross_entropy import SpanCrossEntropy
from bvkeras.models.token_cross_entropy import TokenCrossEntropy
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec


class TrainedKind(abc.ABC):
    """Loss, labels and pooled head of a kind of task."""

    @abc.abstractmethod
    def loss(self) -> keras.losses.Loss:
        """What is minimised, of encoders and of heads."""

    def loss_outputs(self, outputs: tf.Tensor) -> tf.Tensor:
        """What the loss takes of a fine-tuned model's outputs."""
        return outputs

    def share(self, part: np.ndarray, batch: np.ndarray) -> float:
        """How much the loss of a part counts in that of its batch.

        Args:
            part: array. Labels of the part, some rows of the batch.
            batch: array. Labels of the batch.
        """
        return len(part) / len(batch)

    @abc.abstractmethod
    def label_signature(self, task: TaskSpec) -> tf.TensorSpec:
        """Shape and type of a batch of a task's labels."""

    @abc.abstractmethod
    def head(self, task: TaskSpec, settings: dict[str, Any]) -> PoolingModel:
        """A pooled head.

        Args:
            task: TaskSpec.
            settings: dict. What all pooled heads take.
        """

    @abc.abstractmethod
    def starting_bias(
        self, task: TaskSpec, cache: HiddenStateBatches
    ) -> np.ndarray:
        """What the bias of a head starts at, `(outputs,)`.

        Args:
            task: TaskSpec.
            cache: HiddenStateBatches of the training split.
        """


class TrainedClasses(TrainedKind):
    """One class a text: cross-entropy of logits, from their frequencies."""

    def loss(self) -> keras.losses.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def label_signature(self, task: TaskSpec) -> tf.TensorSpec:
        return tf.TensorSpec((None,), tf.int64)

    def head(self, task: TaskSpec, settings: dict[str, Any]) -> PoolingModel:
        return PoolingClassifier(num_classes=task.num_labels, **settings)

    def starting_bias(
        self, task: TaskSpec, cache: HiddenStateBatches
    ) -> np.ndarray:
        # One more of each class: the logarithm of none is no bias.
        labels = cache.labels()
        counts = np.bincount(labels, minlength=task.num_labels) + 1
        return np.log(counts / counts.sum())


class TrainedLabels(TrainedClasses):
    """Several labels a text: the mean of each label's cross-entropy."""

    def loss(self) -> keras.losses.Loss:
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def label_signature(self, task: TaskSpec) -> tf.TensorSpec:
        return tf.TensorSpec((None, task.num_labels), tf.float32)

    def starting_bias(
        self, task: TaskSpec, cache: HiddenStateBatches
    ) -> np.ndarray:
        labels = cache.labels()
        with_label = labels.sum(axis=0, dtype=np.float64)
        # One more with each label, and one without.
        return np.log((with_label + 1) / (len(labels) - with_label + 1))


class TrainedScores(TrainedKind):
    """A score a text: mean squared error, from the mean score."""

    def loss(self) -> keras.losses.Loss:
        return keras.losses.MeanSquaredError()

    def loss_outputs(self, outputs: tf.Tensor) -> tf.Tensor:
        return outputs[:, 0]

    def label_signature(self, task: TaskSpec) -> tf.TensorSpec:
        return tf.TensorSpec((None,), tf.float32)

    def head(self, task: TaskSpec, settings: dict[str, Any]) -> PoolingModel:
        return PoolingRegressor(**settings)

    def starting_bias(
        self, task: TaskSpec, cache: HiddenStateBatches
    ) -> np.ndarray:
        return np.array([cache.labels().mean()])


class TrainedSpans(TrainedKind):
    """A span of a context: cross-entropy of start and end, over tokens."""

    def loss(self) -> keras.losses.Loss:
        return SpanCrossEntropy()

    def label_signature(self, task: TaskSpec) -> tf.TensorSpec:
        return tf.TensorSpec((None, 2), tf.int64)

    def head(self, task: TaskSpec, settings: dict[str, Any]) -> PoolingModel:
        return PoolingSpanModel(**settings)

    def starting_bias(
        self, task: TaskSpec, cache: HiddenStateBatches
    ) -> np.ndarray:
        # One that all tokens share changes nothing.
        return np.zeros(task.num_labels)


class TrainedTokens(TrainedKind):
    """A tag a word: cross-entropy over tokens, from the tags' frequencies."""

    def loss(self) -> keras.losses.Loss:
        return TokenCrossEntropy()

    def share(self, part: np.ndarray, batch: np.ndarray) -> float:
        # The mean is over all tokens that have a tag.
        return (part >= 0).sum() / max(1, (batch >= 0).sum())

    def label_signature(self, task: TaskSpec) -> tf.TensorSpec:
        return tf.TensorSpec((None, None), tf.int64)

    def head(self, task: TaskSpec, settings: dict[str, Any]) -> PoolingModel:
        return PoolingTagger(num_classes=task.num_labels, **settings)

    def starting_bias(
        self, task: TaskSpec, cache: HiddenStateBatches
    ) -> np.ndarray:
        labels = cache.labels()
        counts = np.bincount(labels[labels >= 0], minlength=task.num_labels)
        # One more of each tag: the logarithm of none is no bias.
        return np.log((counts + 1) / (counts + 1).sum())


_KINDS: dict[Kind, TrainedKind] = {
    Kind.CLASSES: TrainedClasses(),
    Kind.LABELS: TrainedLabels(),
    Kind.SCORE: TrainedScores(),
    Kind.SPAN: TrainedSpans(),
    Kind.TOKENS: TrainedTokens(),
}


def kind_of(kind: Kind) -> TrainedKind:
    """How tasks of a kind are trained."""
    return _KINDS[kind]
