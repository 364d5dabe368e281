"""The layer `ComparePairs`."""

import keras

from bvkeras.ops.text_pairs import compared


@keras.saving.register_keras_serializable(package="bvkeras")
class ComparePairs(keras.layers.Layer):
    """Vectors of first and second texts as features of their pairs.

    Input: float tensor `(2 · pairs, features)`, all first texts' vectors and
    then all second ones'.
    Output: `(pairs, 1 + 2 · features)`: their cosine, their difference
    without its sign, and their product, as
    `bvkeras.ops.text_pairs.compared` has it.

    It has no weights.

    Reference:
        Reimers and Gurevych 2019, "Sentence-BERT", section 3.
    """

    def call(self, inputs):
        return compared(*keras.ops.split(inputs, 2))

    def compute_output_shape(self, input_shape):
        return (None, 1 + 2 * input_shape[-1])
