"""The optimizer `RatedAdamW`."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from bvkeras.errors import ArgumentError


@keras.saving.register_keras_serializable(package="bvkeras")
class RatedAdamW(keras.optimizers.AdamW):
    """AdamW in one operation a variable, some with a rate of their own.

    The step is Keras' own, computed by TensorFlow's `ResourceApplyAdam`:
    Keras makes some 35 operations of it for each variable.

    Gradients of embeddings, which come as one row a token, are added up
    before their norm is clipped; Keras would square the rows one by one.

    Args:
        rates: mapping of variable name to float. What the rate of Adam's step
            is multiplied by for variables of that name; decay stays as it is.
            Defaults to none.
        **kwargs: Arguments of `keras.optimizers.AdamW`, without `amsgrad`.

    Raises:
        ArgumentError: `amsgrad` is asked for.

    Example:
        ```python
        optimizer = RatedAdamW({"projection": 0.03}, learning_rate=1e-3)
        ```
    """

    def __init__(self, rates: Mapping[str, float] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if self.amsgrad:
            raise ArgumentError("amsgrad: RatedAdamW has no such step")
        self.rates = dict(rates or {})
        self._factors: list[float] = []
        self._powers: tuple[tf.Tensor, ...] = ()

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
        # Once for all variables.
        step = tf.cast(self.iterations + 1, tf.float64)
        self._powers = (self.beta_1**step, self.beta_2**step)
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        index, dtype = self._get_variable_index(variable), variable.dtype
        beta_1_power, beta_2_power = self._powers
        rate, factor = learning_rate, self._factors[index]
        if factor != 1:
            rate *= factor
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.cast(beta_1_power, dtype),
            beta2_power=tf.cast(beta_2_power, dtype),
            lr=tf.cast(rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rates": dict(self.rates)}
