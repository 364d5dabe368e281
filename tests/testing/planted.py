"""Heads and poolers with one fault each, for the checks to find."""

import keras
import tensorflow as tf

from bvkeras.models.masked_inputs import split_mask
from bvkeras.ops.hidden_states import dequantize, stacked_shape, zero_padding


@keras.saving.register_keras_serializable(package="planted")
class GoodHead(keras.Model):
    """The mean of all real tokens, projected: nothing is wrong with it."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False
        self.units = units

    def build(self, input_shape):
        if len(input_shape) == 2 and len(input_shape[1]) == 2:
            input_shape = input_shape[0]
        _, _, layers, features = stacked_shape(input_shape)
        self.projection = self.add_weight(
            shape=(layers, features, self.units), autocast=False
        )
        self.built = True

    def call(self, inputs, mask=None):
        states, mask = split_mask(inputs, mask)
        return self.projected(self.stacked(states), mask)

    def stacked(self, states):
        states = dequantize(states, "float32")
        if isinstance(states, (list, tuple)):
            states = tf.stack(states, axis=2)
        return tf.cast(states, "float32")

    def projected(self, states, mask):
        if mask is None:
            mask = tf.ones(tf.shape(states)[:2], "bool")
        states = zero_padding(states, mask)
        count = tf.reduce_sum(tf.cast(mask, "float32"), axis=1)
        mean = tf.reduce_sum(states, axis=1) / tf.maximum(
            count[:, tf.newaxis, tf.newaxis], 1.0
        )
        return tf.einsum("ble,leu->bu", mean, self.projection)

    def compute_mask(self, inputs, previous_mask):
        return None

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class IgnoresMask(GoodHead):
    def projected(self, states, mask):
        return super().projected(states, None)


class MultipliesByMask(GoodHead):
    def projected(self, states, mask):
        if mask is None:
            return super().projected(states, None)
        mask = tf.cast(mask, "float32")
        states *= mask[..., tf.newaxis, tf.newaxis]
        count = tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)
        return super().projected(states, None) * mask.shape[1] / count


class CountsPadding(GoodHead):
    def projected(self, states, mask):
        return super().projected(zero_padding(states, mask), None)


class ForgetsConfig(GoodHead):
    def get_config(self):
        return keras.Model.get_config(self)


@keras.saving.register_keras_serializable(package="planted")
class SaysTheDefault(GoodHead):
    def get_config(self):
        return {**super().get_config(), "units": 2}


class NotRegistered(GoodHead):
    pass


class ListInReverse(GoodHead):
    def stacked(self, states):
        if isinstance(states, (list, tuple)):
            states = list(states)[::-1]
        return super().stacked(states)


class ReadsValuesAlone(GoodHead):
    def stacked(self, states):
        if isinstance(states, (list, tuple)) and len(states) == 2:
            states = states[0]
        return super().stacked(states)


class RefusesAtLength(GoodHead):
    def stacked(self, states):
        if isinstance(states, (list, tuple)) and len(states) == 2:
            raise ValueError("cannot take\nsuch pairs")
        return super().stacked(states)


class FailsOnNothing(GoodHead):
    def projected(self, states, mask):
        if states.shape[0] == 0:
            raise IndexError("no first text")
        return super().projected(states, mask)


class StopsGradient(GoodHead):
    def projected(self, states, mask):
        return super().projected(states, mask) + 0.0 * tf.stop_gradient(
            tf.reduce_sum(self.extra)
        )

    def build(self, input_shape):
        super().build(input_shape)
        self.extra = self.add_weight(shape=(2,), autocast=False)


class RoundsOutputs(GoodHead):
    def projected(self, states, mask):
        return tf.cast(super().projected(states, mask), self.compute_dtype)


class GivesNoise(GoodHead):
    def projected(self, states, mask):
        outputs = super().projected(states, mask)
        return outputs + tf.random.normal(tf.shape(outputs))


class LearnsNothing(GoodHead):
    def projected(self, states, mask):
        return super().projected(states, mask) * 1e-6


@keras.saving.register_keras_serializable(package="planted")
class PlainPooler(keras.layers.Layer):
    """Passes padding on, and takes a stacked tensor alone."""

    def call(self, hidden_states, mask=None):
        return hidden_states
