"""The weights of a pooler that a checkpoint does not have."""

import keras

# transformers' `initializer_range` of all published ones.
_DEVIATION = 0.02


def draw_pooler(pooler: keras.layers.Layer, seed: int) -> None:
    """Sets a dense layer to what transformers starts it with, from a seed.

    The kernel is drawn from a normal distribution with a deviation of 0.02;
    the bias is 0.

    Args:
        pooler: keras.layers.Layer. It is built.
        seed: int. The same seed draws the same weights.
    """
    draw = keras.initializers.RandomNormal(stddev=_DEVIATION, seed=seed)
    pooler.kernel.assign(draw(pooler.kernel.shape))
    pooler.bias.assign(keras.ops.zeros(pooler.bias.shape))
