"""Heads that are trained side by side: the base of all such blocks."""

import abc
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tuning.head_settings import HeadSettings

_BETA_1, _BETA_2, _EPSILON, _CLIP_NORM = 0.9, 0.999, 1e-6, 1.0
# Of the variables that have the heads on their second axis.
_SECOND = "kernel"


class HeadBlock(abc.ABC):
    """Heads of one form, with dropout or all without.

    Every variable has the heads on its first axis, but for the pooling
    kernel, which has them on its second: `(features, heads, units)`.

    Args:
        task: TaskSpec.
        settings: sequence of HeadSettings, of all heads of a search.
        members: sequence of int. Which of them are in this block.
        starts: dict of name to tensor. What the variables start at, in the
            order in which a head's model has them.
    """

    def __init__(
        self,
        task: TaskSpec,
        settings: Sequence[HeadSettings],
        members: Sequence[int],
        starts: dict[str, tf.Tensor],
    ):
        self.members = list(members)
        own = [settings[member] for member in members]
        self._task = task
        self._heads = len(own)
        self._weights = {
            name: tf.Variable(start) for name, start in starts.items()
        }
        zeros = {name: tf.zeros_like(start) for name, start in starts.items()}
        self._means = {n: tf.Variable(zero) for n, zero in zeros.items()}
        self._squares = {n: tf.Variable(zero) for n, zero in zeros.items()}
        # What Adam takes away at a rate of one.
        self._steps = {n: tf.Variable(zero) for n, zero in zeros.items()}
        self._dropout = _column(own, "dropout")
        self._seeds = tf.constant([s.seed for s in own], tf.int64)
        self._decay = _column(own, "weight_decay")
        self._projection_rate = _column(own, "projection_rate")

    @abc.abstractmethod
    def outputs(self, hidden_states, mask, step=None) -> tf.Tensor:
        """`(heads, batch, outputs)`; with a step, dropout is on."""

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that changes in training, in a fixed order."""
        return [
            *self._weights.values(),
            *self._means.values(),
            *self._squares.values(),
        ]

    def weights(self, place: int) -> list[np.ndarray]:
        """A head's weights, as `get_weights` of its model gives them."""
        return [
            (value[:, place] if name == _SECOND else value[place]).numpy()
            for name, value in self._weights.items()
        ]

    def set_weights(self, place: int, weights: Sequence[np.ndarray]) -> None:
        """Gives a head other weights to start from."""
        for (name, variable), value in zip(
            self._weights.items(), weights, strict=True
        ):
            whole = variable.numpy()
            whole[(slice(None), place) if name == _SECOND else place] = value
            variable.assign(whole)

    def train(self, hidden_states, mask, labels, rates, step):
        """One step; gives the heads' losses when it is done."""
        with tf.GradientTape() as tape:
            outputs = self.outputs(hidden_states, mask, step)
            losses = _LOSSES[self._task.kind](outputs, labels)
            loss = tf.reduce_sum(losses)
        names = list(self._weights)
        gradients = tape.gradient(loss, [self._weights[n] for n in names])
        norms = tf.sqrt(
            tf.add_n(
                [
                    _head_sums(name, gradient**2)
                    for name, gradient in zip(names, gradients, strict=True)
                ]
            )
        )
        clip = tf.minimum(1.0 / norms, 1.0 / _CLIP_NORM) * _CLIP_NORM
        number = tf.cast(step + 1, tf.float32)
        ends = [
            self._update(name, gradient, clip, rates, number)
            for name, gradient in zip(names, gradients, strict=True)
        ]
        with tf.control_dependencies(ends):
            return tf.identity(losses)

    def _update(self, name, gradient, clip, rates, number):
        weight, taken = self._weights[name], self._steps[name]
        taken.assign(tf.zeros_like(taken))
        tf.raw_ops.ResourceApplyAdam(
            var=taken.handle,
            m=self._means[name].handle,
            v=self._squares[name].handle,
            beta1_power=_BETA_1**number,
            beta2_power=_BETA_2**number,
            lr=1.0,
            beta1=_BETA_1,
            beta2=_BETA_2,
            epsilon=_EPSILON,
            grad=gradient * _for_heads(name, clip),
        )
        kept = 1.0
        if "bias" not in name:
            kept -= _for_heads(name, rates * self._decay)
        if name == "projection":
            rates = rates * self._projection_rate
        return weight.assign(
            weight * kept + taken.read_value() * _for_heads(name, rates)
        )

    def dropped(self, pooled, step):
        """Dropout as `keras.layers.Dropout` draws it for each head's seed."""
        seeds = tf.stack([self._seeds, tf.fill((self._heads,), step)], axis=1)
        # As Keras makes an int32 seed of its generator's state.
        seeds = tf.cast(seeds % (tf.int32.max - 1), tf.int32)
        draws = tf.stack(
            [
                tf.random.stateless_uniform(tf.shape(pooled)[1:], seeds[head])
                for head in range(self._heads)
            ]
        )
        rates = self._dropout.reshape(-1, *[1] * (pooled.shape.rank - 1))
        scaled = pooled * (1.0 / (1.0 - rates))
        return tf.where(draws >= rates, scaled, 0.0)


def _column(settings, name):
    return np.array([getattr(own, name) for own in settings], np.float32)


def _head_sums(name, values):
    """Sums over all that belongs to a head."""
    axes = [axis for axis in range(values.shape.rank)]
    axes.remove(1 if name == _SECOND else 0)
    return tf.reduce_sum(values, axis=axes)


def _for_heads(name, values):
    """One number a head, to be multiplied with a variable."""
    if name == _SECOND:
        return values[tf.newaxis, :, tf.newaxis]
    return tf.reshape(values, (-1, *[1] * (_RANKS[name] - 1)))


_RANKS = {
    "query": 3,
    "layer_weights": 2,
    "scale": 1,
    "pooling_bias": 2,
    "projection": 3,
    "bias": 2,
}


def _class_losses(outputs, labels):
    labels = tf.tile(labels[tf.newaxis], (tf.shape(outputs)[0], 1))
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs), axis=1
    )


def _label_losses(outputs, labels):
    labels = tf.broadcast_to(labels[tf.newaxis], tf.shape(outputs))
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs), axis=(1, 2)
    )


def _score_losses(outputs, labels):
    return tf.reduce_mean((outputs[..., 0] - labels) ** 2, axis=1)


# The mean loss of each head, by what `bvkeras tune` can search for.
_LOSSES = {
    Kind.CLASSES: _class_losses,
    Kind.LABELS: _label_losses,
    Kind.SCORE: _score_losses,
}
