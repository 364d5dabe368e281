"""Arrays of the sizes that are timed."""

import functools

import numpy as np
import tensorflow as tf

from benchmarks.pooling.sizes import Shape

_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


class Operands:
    """Random inputs and weights of a step.

    Attributes:
        hidden_states: tensor, or list of layers; of int8 a pair of that and
            the scales in the same form.
        weights: list of float32 tensors, W, b, V and d.
        mask: bool tensor `(batch, tokens)`, or `None`.
    """

    def __init__(
        self,
        shape: Shape,
        stored: str,
        *,
        padded: float = 0.0,
        as_list: bool = False,
    ):
        self.shape = shape
        self.stored = stored
        self.hidden_states = _stored(shape, stored)
        if as_list:
            self.hidden_states = tf.nest.map_structure(
                lambda tensor: tf.unstack(tensor, axis=2), self.hidden_states
            )
        self.weights = _weights(shape)
        self.mask = None
        if padded:
            real = np.arange(shape.tokens) < shape.tokens * (1 - padded)
            self.mask = tf.constant(np.tile(real, (shape.batch, 1)))

    @property
    def hidden_bytes(self) -> int:
        """Of the hidden states' values; without the scales of int8."""
        return self.shape.hidden_numbers * _SIZES[self.stored]


@functools.cache
def _values(shape: Shape) -> np.ndarray:
    size = (shape.batch, shape.tokens, shape.layers, shape.features)
    return np.random.default_rng(0).standard_normal(size, np.float32)


def _stored(shape, stored):
    values = _values(shape)
    if stored == "int8":
        scales = np.abs(values).max(-1) / 127
        values = np.rint(values / scales[..., None])
        return tf.constant(values.astype(np.int8)), tf.constant(scales)
    return tf.cast(tf.constant(values), stored)


def _weights(shape):
    random = np.random.default_rng(1)
    positions = (shape.tokens,) if shape.per_position else ()
    return [
        tf.constant(random.standard_normal(size, np.float32) * scale)
        for size, scale in (
            ((shape.features, shape.units), shape.features**-0.5),
            ((shape.units,), 0.1),
            ((*positions, shape.layers, shape.units, shape.outputs), 0.01),
            ((shape.outputs,), 0.1),
        )
    ]
