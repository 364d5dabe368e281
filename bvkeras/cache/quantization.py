"""Hidden states in eight bits, with a scale for each token and layer."""

import numpy as np
import tensorflow as tf

from bvkeras.cache.format import DTYPES

_LARGEST = 127
# So that subnormal numbers, which TensorFlow takes for zero and NumPy does not,
# are rounded to zero by both.
_SMALLEST_SCALE = 2.0**-100


def quantize(hidden_states: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rounds hidden states to int8.

    The features of one token in one layer share a scale, `max|h| / 127`. A
    value is off by at most half a scale, which is 0.4% of the largest of its
    neighbours.

    Args:
        hidden_states: tensor `(..., features)`. Computed with in float32.

    Returns:
        int8 tensor `(..., features)`, `h / scale` rounded half to even, from
        -127 to 127; and float32 tensor `(...)`, the scales. Where a scale
        would be below 2**-100, it and the values are 0. Where a value is NaN
        or infinite, the scale is.
    """
    hidden_states = tf.cast(hidden_states, tf.float32)
    largest = tf.reduce_max(tf.abs(hidden_states), axis=-1)
    scales = largest / _LARGEST
    scales = tf.where(scales < _SMALLEST_SCALE, 0.0, scales)
    values = tf.round(tf.math.divide_no_nan(hidden_states, scales[..., None]))
    # Not the identity for NaN only, whose cast is not defined.
    values = tf.clip_by_value(values, -_LARGEST, _LARGEST)
    return tf.cast(values, tf.int8), scales


def dequantize(
    values: tf.Tensor, scales: tf.Tensor, dtype: str = "float32"
) -> tf.Tensor:
    """The hidden states that `quantize` rounded: `values * scales`.

    Args:
        values: int8 tensor `(..., features)`.
        scales: float32 tensor `(...)`.
        dtype: str. A floating-point type. The product is taken in float32
            and rounded to it.

    Returns:
        tensor `(..., features)`.
    """
    products = tf.cast(values, tf.float32) * scales[..., None]
    return tf.cast(products, dtype)


def as_dtype(
    values: np.ndarray, scales: np.ndarray | None, dtype: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Hidden states in another type, with their scales if it is int8.

    Args:
        values: array `(..., features)`.
        scales: float32 array `(...)` of int8 values; None of others.
        dtype: str. A key of `format.DTYPES`.

    Returns:
        Array and its scales, None but for int8. What the type cannot hold is
        infinite, or its scale is.
    """
    if scales is not None:
        values = dequantize(values, scales).numpy()
    with np.errstate(over="ignore"):
        if dtype == "int8":
            rounded, found = quantize(values.astype(np.float32, copy=False))
            return rounded.numpy(), found.numpy()
        return values.astype(DTYPES[dtype]), None
