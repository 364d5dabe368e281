"""The layer `ScalarMix`."""

from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.ops.hidden_states import (
    dequantize,
    first_mask,
    shape_of,
    stacked_shape,
    zero_padding,
)


@keras.saving.register_keras_serializable(package="bvkeras")
class ScalarMix(keras.layers.Layer):
    """One weighted sum of all layers' hidden states, times a scale.

    `mixed = scale · Σ_l softmax(weights)[l] · hidden_states[:, :, l]`, with
    `layers` weights and one scale to train. Weights start at zero, so that
    the mix starts as the mean of the layers. The sum is in float32, whatever
    the compute type.

    Input: hidden states, a tensor `(batch, tokens, layers, features)` or a
    list of layers, each `(batch, tokens, features)`, which is not stacked; or
    8-bit ones, a pair `(values, scales)`, as `LinearPooling` takes them.
    Output: `(batch, tokens, features)` of the layer's compute type.

    Masking: the layer takes a mask `(batch, tokens)`, by argument or from the
    layer before, and passes it on. The output is zero at padded positions,
    and what the hidden states hold there reaches neither output nor
    gradients.

    Args:
        scale_initializer: Keras initializer of the scale. Defaults to
            `"ones"`.
        **kwargs: Arguments of `keras.layers.Layer`, as `name` and `dtype`.

    Raises:
        ArgumentError: The input is not hidden states, or has another number
            of layers than the weights.

    Example:
        ```python
        import numpy as np
        from bvkeras.layers.scalar_mix import ScalarMix

        hidden_states = np.random.normal(size=(2, 5, 7, 384))
        ScalarMix()(hidden_states).shape  # (2, 5, 384)
        ```

    Reference:
        Tenney et al. 2019, "BERT Rediscovers the Classical NLP Pipeline",
        section 3; Peters et al. 2018, "Deep contextualized word
        representations", equation 1.
    """

    def __init__(self, scale_initializer: Any = "ones", **kwargs: Any):
        super().__init__(**kwargs)
        # The sum casts what it reads; Keras would round the scales of 8-bit
        # hidden states under mixed precision.
        self.autocast = False
        self.scale_initializer = keras.initializers.get(scale_initializer)

    def build(self, input_shape):
        # Without autocast: a softmax of float16 weights is not worth its
        # rounding, and there are only a dozen of them.
        self.layer_weights = self.add_weight(
            name="layer_weights",
            shape=(stacked_shape(input_shape)[2],),
            initializer="zeros",
            autocast=False,
        )
        self.scale = self.add_weight(
            name="scale",
            shape=(),
            initializer=self.scale_initializer,
            autocast=False,
        )

    def call(self, hidden_states, mask=None):
        num_layers = self.layer_weights.shape[0]
        received = shape_of(hidden_states)[2]
        if received not in (None, num_layers):
            raise ArgumentError(
                f"hidden_states: received {received} layers, expected"
                f" {num_layers}"
            )
        hidden_states = dequantize(hidden_states, "float32")
        hidden_states = zero_padding(hidden_states, first_mask(mask))
        weights = self.scale * keras.ops.softmax(self.layer_weights)
        if isinstance(hidden_states, (list, tuple)):
            mixed = sum(
                weights[index] * keras.ops.cast(layer, weights.dtype)
                for index, layer in enumerate(hidden_states)
            )
        else:
            mixed = keras.ops.einsum(
                "btle,l->bte",
                keras.ops.cast(hidden_states, weights.dtype),
                weights,
            )
        return keras.ops.cast(mixed, self.compute_dtype)

    def compute_mask(self, inputs, previous_mask):
        return first_mask(previous_mask)

    def compute_output_shape(self, input_shape):
        batch, tokens, _, features = stacked_shape(input_shape)
        return batch, tokens, features

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            scale_initializer=keras.initializers.serialize(
                self.scale_initializer
            )
        )
        return config
