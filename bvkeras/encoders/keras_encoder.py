"""The inference path of a backbone through Keras' own layers."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from bvkeras.encoders.families.registry import family_of
from bvkeras.encoders.fast_encoder import checked_compute_dtype
from bvkeras.layers.gelu import get_hidden_act, set_hidden_act
from bvkeras.layers.hidden_states import layer_indices


class KerasEncoder:
    """What `FastEncoder` is, for layers that are not BERT's: DeBERTa-v3.

    The backbone's own layers compute the hidden states; with a compute dtype
    of 16 bits they do so under Keras' mixed precision, which rounds every
    hidden state to it.

    The weights are copied when the object is made. There is no training and
    no dropout.

    Args:
        backbone: keras.Model. A keras-hub backbone of any family.
        layers: sequence of int. Hidden states to give, as for `HiddenStates`.
            Defaults to all.
        compute_dtype: str. `"float32"`, `"bfloat16"` or `"float16"`. Defaults
            to the backbone's compute dtype.
        output_dtype: str. As of `FastEncoder`.

    Call arguments:
        inputs: dict of int tensors `(batch, tokens)`: "token_ids",
            "segment_ids" where the family has them, "padding_mask".

    Returns:
        list of tensors `(batch, tokens, features)`, one for each of
        `layers`. What stands at padded positions has no meaning.

    Raises:
        ArgumentError: `layers` is empty or holds an index out of range;
            `compute_dtype` is none of the three.
    """

    def __init__(
        self,
        backbone: keras.Model,
        layers: Sequence[int] | None = None,
        compute_dtype: str | None = None,
        output_dtype: str = "float32",
    ):
        self.compute_dtype = checked_compute_dtype(compute_dtype, backbone)
        self._output_dtype = output_dtype
        self.layer_indices = layer_indices(layers, backbone.num_layers)
        self._family = family_of(backbone)
        self._backbone = backbone
        if self.compute_dtype != backbone.compute_dtype:
            self._backbone = _computing_in(backbone, self.compute_dtype)
        pooler = self._family.pooler(self._backbone)
        not_used = {id(weight) for weight in pooler.weights} if pooler else ()
        self._variables = [
            weight
            for weight in self._backbone.weights
            if id(weight) not in not_used
        ]
        self._weights: list[Any] = [
            tf.identity(keras.ops.convert_to_tensor(variable))
            for variable in self._variables
        ]

    def __call__(self, inputs: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        mapping = [
            (variable, tf.cast(weight, variable.dtype))
            for variable, weight in zip(
                self._variables, self._weights, strict=True
            )
        ]
        with keras.StatelessScope(state_mapping=mapping):
            states = self._family.hidden_states(
                self._backbone, inputs, max(self.layer_indices), training=False
            )
        return [
            tf.cast(states[index], self._output_dtype)
            for index in self.layer_indices
        ]

    def map_weights(self, function: Callable[[tf.Tensor], Any]) -> None:
        """Puts `function(weight)` in the place of every weight.

        Args:
            function: callable. Takes a float tensor and gives a tensor or a
                variable of the same shape, of the same type or a narrower
                one.
        """
        self._weights = [function(weight) for weight in self._weights]


def _computing_in(backbone, compute_dtype):
    """A copy of a backbone, of another compute dtype."""
    policy = compute_dtype
    if compute_dtype != "float32":
        policy = f"mixed_{compute_dtype}"
    config = {**backbone.get_config(), "dtype": policy}
    copy = type(backbone).from_config(config)
    set_hidden_act(copy, get_hidden_act(backbone))
    copy.set_weights(backbone.get_weights())
    return copy
