"""Pooled heads of one width, trained side by side."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.ops.hidden_states import zero_padding
from bvkeras.ops.linear_pooling import linear_pooling
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import projection_start
from bvkeras.training.kinds import kind_of
from bvkeras.training.target_scale import TargetScale
from bvkeras.tuning.head_block import HeadBlock
from bvkeras.tuning.head_settings import HeadSettings


class PoolingBlock(HeadBlock):
    """Heads of `PoolingModel`, whose kernels are columns of one kernel.

    Args:
        task: TaskSpec.
        part: HiddenStateBatches of the training rows.
        settings: sequence of HeadSettings, of all heads of a search.
        members: sequence of int. Which of them are in this block.
        scale: TargetScale. What labels are standardised by.
    """

    def __init__(
        self,
        task: TaskSpec,
        part: HiddenStateBatches,
        settings: Sequence[HeadSettings],
        members: Sequence[int],
        scale: TargetScale,
    ):
        own = [settings[member] for member in members]
        self._units = own[0].units
        self._mixes = own[0].pooler == "scalar_mix"
        self._takes_mean = own[0].token_pooling == "mean"
        self._layers = 1 if self._mixes else part.num_layers
        positions = self._layers * self._units
        if not self._takes_mean:
            positions *= part.max_tokens
        # In the order in which a head's model has them.
        starts = {
            "projection": tf.stack(
                [projection_start(s)((positions, task.num_labels)) for s in own]
            ),
            "bias": tf.tile(
                tf.constant(
                    [
                        scale.standardized(
                            kind_of(task.kind).starting_bias(task, part)
                        )
                    ],
                    tf.float32,
                ),
                (len(own), 1),
            ),
        }
        if self._mixes:
            starts["layer_weights"] = tf.zeros((len(own), part.num_layers))
            starts["scale"] = tf.ones((len(own),))
        starts["kernel"] = tf.stack(
            [
                keras.initializers.GlorotUniform(s.seed)(
                    (part.hidden_dim, s.units)
                )
                for s in own
            ],
            axis=1,
        )
        starts["pooling_bias"] = tf.zeros((len(own), self._units))
        super().__init__(task, settings, members, starts)

    def outputs(self, hidden_states, mask, step=None):
        """`(heads, batch, outputs)`; with a step, dropout is on."""
        weights = self._weights
        pool = self._pooled_mix if self._mixes else self._pooled
        pooled = pool(
            hidden_states, mask, "recompute" if step is None else "stash"
        )
        if step is not None and self._dropout.any():
            pooled = self.dropped(pooled, step)
        shape = tf.shape(pooled)
        used = self._layers * self._units
        if self._takes_mean:
            tokens = tf.reduce_sum(tf.cast(mask, pooled.dtype), axis=1)
            tokens = tf.maximum(tokens, 1.0)[:, tf.newaxis, tf.newaxis]
            pooled = tf.reduce_sum(pooled, axis=2) / tokens
        else:
            used *= shape[2]
        pooled = tf.reshape(pooled, (self._heads, shape[1], used))
        projected = pooled @ weights["projection"][:, :used]
        return projected + weights["bias"][:, tf.newaxis]

    def _pooled(self, hidden_states, mask, keep):
        """`(heads, batch, tokens, layers, units)`."""
        kernel = self._weights["kernel"]
        pooled = linear_pooling(
            hidden_states,
            tf.reshape(kernel, (kernel.shape[0], -1)),
            tf.reshape(self._weights["pooling_bias"], (-1,)),
            mask=mask,
            compute_dtype="float32",
            keep=keep,
        )
        shape = tf.shape(pooled)
        pooled = tf.reshape(pooled, (shape[0], -1, self._heads, self._units))
        pooled = tf.transpose(pooled, (2, 0, 1, 3))
        return tf.reshape(
            pooled,
            (self._heads, shape[0], shape[1], self._layers, self._units),
        )

    def _pooled_mix(self, hidden_states, mask, keep):
        """As `_pooled`, of the heads' own mixes of the layers."""
        del keep
        shares = tf.nn.softmax(self._weights["layer_weights"])
        shares *= self._weights["scale"][:, tf.newaxis]
        states = zero_padding(tf.cast(hidden_states, tf.float32), mask)
        mixed = tf.einsum("btle,kl->kbte", states, shares)
        pooled = tf.einsum("kbte,eka->kbta", mixed, self._weights["kernel"])
        pooled += self._weights["pooling_bias"][:, tf.newaxis, tf.newaxis]
        kept = tf.cast(mask, tf.float32)[tf.newaxis, :, :, tf.newaxis]
        return (tf.nn.gelu(pooled) * kept)[:, :, :, tf.newaxis]
