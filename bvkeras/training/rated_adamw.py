"""The optimizer `RatedAdamW`."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="bvkeras")
class RatedAdamW(keras.optimizers.AdamW):
    """AdamW with a factor on the learning rate of some variables.

    Gradients of embeddings, which come as one row a token, are added up
    before their norm is clipped; Keras would square the rows one by one.

    Args:
        rates: mapping of variable name to float. What the rate of Adam's step
            is multiplied by for variables of that name; decay stays as it is.
        **kwargs: Arguments of `keras.optimizers.AdamW`.

    Example:
        ```python
        optimizer = RatedAdamW({"projection": 0.03}, learning_rate=1e-3)
        ```
    """

    def __init__(self, rates: Mapping[str, float], **kwargs: Any):
        super().__init__(**kwargs)
        self.rates = dict(rates)
        self._factors: list[float] = []

    def build(self, variables):
        super().build(variables)
        # By position: `update_step` gets TensorFlow's variables, whose names
        # are others.
        self._factors = [self.rates.get(v.name, 1.0) for v in variables]

    def apply(self, grads, trainable_variables=None):
        grads = [
            tf.convert_to_tensor(gradient)
            if isinstance(gradient, tf.IndexedSlices)
            else gradient
            for gradient in grads
        ]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rates": dict(self.rates)}
