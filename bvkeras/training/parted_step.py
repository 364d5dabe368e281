"""A training step whose batch is computed in parts."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.training.kinds import TrainedKind
from bvkeras.training.replicas import Replicas


class PartedStep:
    """One step of an optimizer on a batch that no device holds whole.

    The batch is dealt to `accumulate` turns of all replicas. Each part's
    loss counts as much as it does in the loss of the whole batch, gradients
    are summed over turns and replicas, and then clipped and applied once: what
    one process does with the whole batch, up to rounding, but for dropout,
    which each part draws for itself.

    The weights are ordinary variables. A process of several hosts keeps its
    own, which stay equal as all apply the same sums; the devices of one host
    read those of the first device.

    Args:
        model: keras.Model.
        optimizer: keras.optimizers.Optimizer, built.
        kind: TrainedKind. Gives the loss.
        replicas: Replicas.
        accumulate: int. Turns a batch.

    Reference:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 3, for
        what goes wrong when each worker takes a mean of its own.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        kind: TrainedKind,
        replicas: Replicas,
        accumulate: int,
    ):
        self._kind, self._replicas = kind, replicas
        self._accumulate = accumulate
        self._gradients = _gradients(model, kind, replicas)
        self._apply = _apply(model, optimizer, replicas)

    def __call__(
        self,
        tokens: TokenizedExamples,
        labels: np.ndarray,
        weights: np.ndarray | None,
        rows: np.ndarray,
    ) -> tf.Tensor:
        """Takes one step.

        Args:
            tokens: TokenizedExamples. The split.
            labels: array. Its labels.
            weights: float array `(examples,)`, or None. What an error on
                each example counts.
            rows: int array. The batch.

        Returns:
            float32 tensor, the batch's loss, the same for all processes.
        """
        if weights is None:
            weights = np.ones(len(labels), np.float32)
        replicas = self._replicas
        parts = self._accumulate * replicas.count
        total: Any = None
        for turn in range(self._accumulate):
            values = []
            for replica in replicas.local:
                part = rows[turn * replicas.count + replica :: parts]
                share = self._kind.share(labels[part], labels[rows])
                # The last batch may be smaller than the number of parts.
                part = part if len(part) else rows[:1]
                values.append(
                    (
                        tokens.batch(part),
                        labels[part],
                        weights[part].astype(np.float32),
                        np.float32(share),
                    )
                )
            found = self._gradients(replicas.distributed(values))
            total = found if total is None else replicas.add(total, found)
        return self._apply(total)


def _gradients(
    model: keras.Model, kind: TrainedKind, replicas: Replicas
) -> Callable:
    loss_function = kind.loss()

    def of_part(inputs, labels, weights, share):
        sources = [v.value for v in model.trainable_variables]
        # A tape that watches frozen weights, too, would go back to them.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            outputs = kind.loss_outputs(model(inputs, training=True))
            loss = loss_function(labels, outputs, sample_weight=weights)
            # Keras has divided it by the number of replicas.
            loss *= share * replicas.count
        gradients = tape.gradient(
            loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [loss, *map(tf.convert_to_tensor, gradients)]

    @tf.function(reduce_retracing=True, autograph=False)
    def gradients(values):
        return replicas.run(lambda value: of_part(*value), values)

    return gradients


def _apply(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    replicas: Replicas,
) -> Callable:
    @tf.function(autograph=False)
    def apply(values):
        loss, *gradients = replicas.sum(values)
        # Outside of any strategy: Keras would sum them once more, after each
        # replica has clipped its own.
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return apply
