"""Hidden states come stacked or as a list of layers: what both forms share."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from bvkeras.errors import ArgumentError

EXPECTED = (
    "expected (batch, tokens, layers, features) or a list of layers, each"
    " (batch, tokens, features)"
)


def stacked_shape(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """The stacked shape of hidden states in either form.

    Args:
        shape: tuple or list. `(batch, tokens, layers, features)`, or one
            `(batch, tokens, features)` for every layer. Unknown sizes are
            `None`.

    Returns:
        `(batch, tokens, layers, features)`.

    Raises:
        ArgumentError: The shape is neither of the two.
    """
    if any(isinstance(size, (list, tuple)) for size in shape):
        layer_shapes = [tuple(layer_shape) for layer_shape in shape]
        if {len(layer_shape) for layer_shape in layer_shapes} == {3}:
            batch, tokens, features = layer_shapes[0]
            if all(features == other[2] for other in layer_shapes):
                return batch, tokens, len(layer_shapes), features
    elif len(shape) == 4:
        return tuple(shape)
    raise ArgumentError(f"hidden_states: received shape {shape}, {EXPECTED}")


def shape_of(hidden_states: Any) -> tuple[int | None, ...]:
    """`stacked_shape` of a tensor or of a list of tensors."""
    if isinstance(hidden_states, (list, tuple)):
        return stacked_shape([tuple(layer.shape) for layer in hidden_states])
    return stacked_shape(tuple(hidden_states.shape))


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
