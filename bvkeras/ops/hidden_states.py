"""Hidden states come stacked or as a list of layers: what both forms share.

Either form can also be 8-bit: then it is the first of a pair `(values,
scales)`, with int8 values and one float32 scale for each token and layer,
`(batch, tokens, layers)` or a list of `(batch, tokens)`. What is meant is
values · scales.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from bvkeras.errors import ArgumentError

EXPECTED = (
    "expected (batch, tokens, layers, features) or a list of layers, each"
    " (batch, tokens, features)"
)
SCALES_EXPECTED = (
    "expected (batch, tokens, layers) or a list of layers, each (batch,"
    " tokens), as values has"
)


def stacked_shape(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """The stacked shape of hidden states in any form.

    Args:
        shape: tuple or list. `(batch, tokens, layers, features)`, or one
            `(batch, tokens, features)` for every layer; or a pair of such a
            shape and that of the scales. Unknown sizes are `None`.

    Returns:
        `(batch, tokens, layers, features)`.

    Raises:
        ArgumentError: The shape is neither of the two.
    """
    if _is_structure(shape) and len(shape) == 2 and _is_values(shape[0]):
        values, scales = stacked_shape(shape[0]), shape[1]
        expected = tf.TensorShape(values[:3])
        if not expected.is_compatible_with(_scales_shape(scales)):
            raise ArgumentError(
                f"scales: received shape {scales}, {SCALES_EXPECTED}"
            )
        return values
    if _is_structure(shape):
        layer_shapes = [tuple(layer_shape) for layer_shape in shape]
        if {len(layer_shape) for layer_shape in layer_shapes} == {3}:
            batch, tokens, features = layer_shapes[0]
            if all(features == other[2] for other in layer_shapes):
                return batch, tokens, len(layer_shapes), features
    elif len(shape) == 4:
        return tuple(shape)
    raise ArgumentError(f"hidden_states: received shape {shape}, {EXPECTED}")


def shape_of(hidden_states: Any) -> tuple[int | None, ...]:
    """`stacked_shape` of a tensor, a list of tensors, or a pair."""
    return stacked_shape(_shapes(hidden_states))


def split_scales(hidden_states: Any) -> tuple[Any, Any | None]:
    """Values and scales of 8-bit hidden states; of others, `None` for scales.

    Args:
        hidden_states: array or tensor, list of them, or pair.
    """
    if isinstance(hidden_states, (list, tuple)) and len(hidden_states) == 2:
        values, scales = hidden_states
        if _is_values(_shapes(values)):
            return values, scales
    return hidden_states, None


def dequantize(hidden_states: Any, dtype: Any) -> Any:
    """8-bit hidden states as values of `dtype`; others as they are.

    Args:
        hidden_states: tensor, list of tensors, or pair.
        dtype: Type of the result. The product is in float32.

    Returns:
        A tensor or a list of tensors.
    """
    values, scales = split_scales(hidden_states)
    if scales is None:
        return values
    if isinstance(values, (list, tuple)):
        return [
            _dequantized(value, scale, dtype)
            for value, scale in zip(values, scales, strict=True)
        ]
    return _dequantized(values, scales, dtype)


def first_mask(mask: Any) -> Any:
    """The first mask in a structure of masks and `None`, or `None`.

    Keras hands a layer one mask for each tensor of its input. All layers of
    an encoder share the padding of its tokens, so any of the masks will do.
    """
    masks = (m for m in keras.tree.flatten(mask) if m is not None)
    return next(masks, None)


def zero_padding(values: Any, mask: Any) -> Any:
    """Sets what stands at padded positions to zero, whatever it was.

    A selection and not a product, because 0 · NaN is NaN.

    Args:
        values: tensor `(batch, tokens, ...)`, or a list of them.
        mask: tensor `(batch, tokens)`, true (or not 0) at real tokens, or
            `None`, which leaves `values` as they are.

    Returns:
        The same structure as `values`.

    Raises:
        ArgumentError: The mask's shape is not that of batch and tokens.
    """
    if mask is None:
        return values
    if isinstance(values, (list, tuple)):
        return [zero_padding(value, mask) for value in values]
    mask = tf.cast(mask, tf.bool)
    if not mask.shape.is_compatible_with(values.shape[:2]):
        raise ArgumentError(
            f"mask: received shape {tuple(mask.shape)}, expected (batch,"
            f" tokens) = {tuple(values.shape[:2])}, as hidden_states has"
        )
    keep = mask[(...,) + (tf.newaxis,) * (values.shape.rank - 2)]
    return tf.where(keep, values, tf.zeros((), values.dtype))


def _dequantized(values, scales, dtype):
    scales = tf.cast(scales, tf.float32)[..., tf.newaxis]
    return tf.cast(tf.cast(values, tf.float32) * scales, dtype)


def _shapes(tensors):
    if isinstance(tensors, (list, tuple)):
        return [_shapes(tensor) for tensor in tensors]
    return tuple(tensors.shape)


def _is_structure(shape):
    return isinstance(shape, (list, tuple)) and any(
        isinstance(size, (list, tuple)) for size in shape
    )


def _is_values(shape):
    """Whether the first of a pair is all hidden states, not one layer."""
    return _is_structure(shape) or len(shape) == 4


def _scales_shape(shape):
    if not _is_structure(shape):
        return tuple(shape)
    if {len(layer_shape) for layer_shape in shape} == {2}:
        return (*shape[0], len(shape))
    return ()
