"""Hidden states with a mask in a pair: what models on them share."""

from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.ops.hidden_states import first_mask, stacked_shape


def split_mask(inputs: Any, mask: Any) -> tuple[Any, Any | None]:
    """Hidden states, and the mask in the pair or else the one given.

    Args:
        inputs: hidden states in any of their forms, or the pair
            `(hidden_states, mask)`.
        mask: what Keras hands over: a mask, a structure of them, or `None`.

    Returns:
        Hidden states, and a mask `(batch, tokens)` or `None`.
    """
    if _is_pair(inputs, _rank):
        return inputs
    return inputs, first_mask(mask)


def built_sizes(
    input_shape: Any, num_layers: int | None, hidden_dim: int | None
) -> tuple[int, int]:
    """Layers and features to build a model for.

    Args:
        input_shape: shape of hidden states in any of their forms, or of the
            pair with a mask.
        num_layers: int or None. What the model was made for; None is any.
        hidden_dim: int or None. As `num_layers`.

    Raises:
        ArgumentError: the shape has others, or does not say.
    """
    if _is_pair(input_shape, _rank_of_shape):
        input_shape = input_shape[0]
    sizes: list[int] = []
    for name, expected, received in zip(
        ("num_layers", "hidden_dim"),
        (num_layers, hidden_dim),
        stacked_shape(input_shape)[2:],
        strict=True,
    ):
        if received is None or expected not in (None, received):
            raise ArgumentError(
                f"{name}: received hidden states with {received}, expected"
                f" {expected or 'a size known beforehand'}"
            )
        sizes.append(received)
    return sizes[0], sizes[1]


def real_tokens(mask: Any, tokens: Any) -> Any:
    """How many tokens each row has, at least 1: float32 `(batch, 1)`.

    Without a mask `(1, 1)`: all rows have all of them.

    Args:
        mask: tensor `(batch, tokens)` or `None`.
        tokens: int or scalar tensor. Tokens of the batch.
    """
    if mask is None:
        return keras.ops.reshape(keras.ops.cast(tokens, "float32"), (1, 1))
    found = keras.ops.cast(keras.ops.cast(mask, "bool"), "float32")
    return keras.ops.maximum(keras.ops.sum(found, axis=1, keepdims=True), 1.0)


def _is_pair(inputs, rank):
    """Whether inputs (or their shapes) are `(hidden_states, mask)`.

    The rank of the second tells, 2 for a mask and 3 for a layer or for the
    scales of 8-bit hidden states, because Keras and `tf.data` turn lists into
    tuples and back.
    """
    is_structure = isinstance(inputs, (list, tuple))
    return is_structure and len(inputs) == 2 and rank(inputs[1]) == 2


def _rank(tensor):
    """The rank of a tensor, `None` of a structure."""
    return len(tensor.shape) if hasattr(tensor, "shape") else None


def _rank_of_shape(shape):
    """`_rank` of what has the shape."""
    is_tensor = not any(isinstance(size, (list, tuple)) for size in shape)
    return len(shape) if is_tensor else None
