"""Steps in TensorFlow: the native operation, and what there is without it.

A step is the forward and backward pass of a head's logits, with gradients of
W, b, V and d and none of the hidden states.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from benchmarks.pooling.shapes import Operands
from bvkeras.ops.linear_pooling import (
    linear_pooling,
    linear_pooling_projection,
)

Project = Callable[..., tf.Tensor]


def native(operands: Operands, keep: str = "stash") -> Project:
    """P by the native operation."""

    def project(hidden_states, kernel, bias, projection):
        return linear_pooling_projection(
            hidden_states,
            kernel,
            bias,
            projection,
            operands.mask,
            keep=keep,
            implementation="native",
        )

    return project


def einsum(operands: Operands, dtype: str = "float32") -> Project:
    """P as `tf.einsum` has it, its first product in `dtype`."""

    def project(hidden_states, kernel, bias, projection):
        pooled = einsum_pooled(hidden_states, kernel, bias, dtype)
        v = "tlac" if operands.shape.per_position else "lac"
        return tf.einsum(f"btla,{v}->btc", pooled, projection)

    return project


def matmul(operands: Operands, dtype: str = "float32") -> Project:
    """P by `tf.matmul` of flat rows, its first product in `dtype`."""
    shape = operands.shape

    def project(hidden_states, kernel, bias, projection):
        pooled = matmul_pooled(hidden_states, kernel, bias, dtype)
        width = shape.layers * shape.units
        pooled = tf.reshape(pooled, (shape.batch, shape.tokens, width))
        if not shape.per_position:
            return pooled @ tf.reshape(projection, (width, shape.outputs))
        by_token = tf.transpose(pooled, (1, 0, 2)) @ tf.reshape(
            projection, (shape.tokens, width, shape.outputs)
        )
        return tf.transpose(by_token, (1, 0, 2))

    return project


def native_pooled(hidden_states: Any, kernel: Any, bias: Any) -> tf.Tensor:
    """Y by the native operation."""
    return linear_pooling(hidden_states, kernel, bias, implementation="native")


def einsum_pooled(
    hidden_states: Any, kernel: Any, bias: Any, dtype: str = "float32"
) -> tf.Tensor:
    """Y by `tf.einsum`."""
    product = tf.einsum(
        "btle,ea->btla", _plain(hidden_states, dtype), tf.cast(kernel, dtype)
    )
    return tf.nn.gelu(tf.cast(product, "float32") + bias, False)


def matmul_pooled(
    hidden_states: Any, kernel: Any, bias: Any, dtype: str = "float32"
) -> tf.Tensor:
    """Y by `tf.matmul`, as rows `(batch * tokens * layers, units)`."""
    rows = tf.reshape(_plain(hidden_states, dtype), (-1, kernel.shape[0]))
    product = tf.cast(tf.matmul(rows, tf.cast(kernel, dtype)), "float32")
    return tf.nn.gelu(product + bias, False)


def logits_step(
    operands: Operands, project: Project, xla: bool = False
) -> Callable:
    """The whole step, compiled; called without arguments."""
    per_position = operands.shape.per_position

    @tf.function(jit_compile=xla)
    def step(hidden_states, *weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            *others, d = weights
            logits = project(hidden_states, *others) + d
            if per_position:
                logits = tf.reduce_sum(logits, axis=1)
            loss = tf.reduce_mean(tf.square(logits))
        return tape.gradient(loss, weights)

    return lambda: step(operands.hidden_states, *operands.weights)


def pooled_step(operands: Operands, pool: Project) -> Callable:
    """Forward and backward pass of Y alone."""

    @tf.function
    def step(hidden_states, kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch((kernel, bias))
            pooled = tf.cast(pool(hidden_states, kernel, bias), "float32")
            loss = tf.reduce_mean(tf.square(pooled))
        return tape.gradient(loss, (kernel, bias))

    return lambda: step(operands.hidden_states, *operands.weights[:2])


def _plain(hidden_states, dtype):
    """One tensor of `dtype`: what these graphs have to begin with."""
    if isinstance(hidden_states, tuple):
        values, scales = map(_stacked, hidden_states)
        return tf.cast(values, dtype) * tf.cast(scales[..., None], dtype)
    return tf.cast(_stacked(hidden_states), dtype)


def _stacked(tensors):
    return tf.stack(tensors, axis=2) if isinstance(tensors, list) else tensors
