"""The layer `SplitPairs`."""

import keras

from bvkeras.ops.text_pairs import split_pairs


@keras.saving.register_keras_serializable(package="bvkeras")
class SplitPairs(keras.layers.Layer):
    """Rows of two texts each as rows of single texts, for an encoder.

    Input: dict of int tensors `(pairs, tokens)`: `"token_ids"`,
    `"segment_ids"`, 1 in second texts, and `"padding_mask"`; a row holds both
    texts of a pair, each with its own special tokens.
    Output: dict of int32 tensors `(2 · pairs, longest text)` by the same
    names, all first texts and then all second ones, segment ids 0.

    It has no weights.

    Example:
        rows = SplitPairs()(inputs)
        states = backbone(rows)
        first, second = keras.ops.split(states, 2)
    """

    def call(self, inputs):
        return split_pairs(inputs)

    def compute_output_spec(self, inputs):
        """Of batch and tokens nothing is known beforehand."""
        return {
            name: keras.KerasTensor((None, None), "int32", name=name)
            for name in inputs
        }
