"""The inference path of BERT's layer in native code."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from bvkeras.encoders.bert_weights import BertWeights
from bvkeras.encoders.fast_encoder import FastEncoder, checked_compute_dtype
from bvkeras.layers.hidden_states import layer_indices
from bvkeras.ops.encoder_layers import encode_layers, pack_encoder_layer

_COMPUTE_DTYPES = ("float32", "bfloat16", "int8")


class NativeEncoder:
    """What `FastEncoder` is, computed by the native library on the CPU.

    Padded tokens are not computed at all, and each text goes through all
    layers on one thread; docs/kernels.md says how. The states of a text depend
    on its own tokens alone: not on the batch, and not on threads.

    Matrix products of states and weights are computed in the compute dtype;
    with `"bfloat16"` that takes a processor with such products, and others
    compute in float32, which takes them as long. With `"int8"` the factors of
    these products are rounded to 8 bits: weights by a column's largest, states
    by a token's; `kernels/encoder.h` has the formula. Sums are exact. All else
    is computed in float32.

    The weights are copied, and packed for the processor, when the object is
    made. There is no training and no dropout.

    Args:
        backbone: keras.Model. As of `FastEncoder`.
        layers: sequence of int. As of `FastEncoder`.
        compute_dtype: str. `"float32"`, `"bfloat16"` or `"int8"`. Defaults to
            the backbone's compute dtype.
        output_dtype: str. Type of the hidden states: `"float32"`,
            `"bfloat16"` or `"float16"`. Defaults to `"float32"`.

    Call arguments:
        inputs: as of `FastEncoder`.

    Returns:
        list of tensors `(batch, tokens, features)` of the output dtype, one
        for each of `layers`. Zero at padded positions, but for the first
        state, the embeddings, where they have no meaning.

    Raises:
        ArgumentError: as `FastEncoder`, and for float16.
        NativeLibraryError: the native library is not there.
    """

    def __init__(
        self,
        backbone: keras.Model,
        layers: Sequence[int] | None = None,
        compute_dtype: str | None = None,
        output_dtype: str = "float32",
    ):
        indices = layer_indices(layers, backbone.num_layers)
        compute_dtype = checked_compute_dtype(
            compute_dtype, backbone, _COMPUTE_DTYPES
        )
        weights = BertWeights.of(backbone, max(indices))
        self._begin(weights, indices, compute_dtype, output_dtype)

    @classmethod
    def of(cls, encoder: FastEncoder) -> "NativeEncoder":
        """What computes the same as a `FastEncoder`, from its weights.

        Raises:
            NativeLibraryError: the native library is not there.
        """
        native = cls.__new__(cls)
        weights = dataclasses.replace(encoder.weights)
        weights.map(lambda weight: tf.cast(weight, tf.float32))
        native._begin(
            weights,
            encoder.layer_indices,
            encoder.compute_dtype,
            encoder.output_dtype,
        )
        return native

    def _begin(self, weights, layer_indices, compute_dtype, output_dtype):
        self.layer_indices = layer_indices
        self.compute_dtype = compute_dtype
        self.output_dtype = output_dtype
        self._weights = weights
        self._packed = [
            pack_encoder_layer(layer, weights.num_heads, compute_dtype)
            for layer in weights.layers
        ]
        # Without a layer there is nothing that it would be the size of.
        self._inner_dim = 1
        for layer in weights.layers:
            self._inner_dim = len(layer["intermediate"][1])
        weights.layers = []

    def __call__(self, inputs: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        first = self._weights.embed(inputs, "float32")
        # Of a step with more than one layer, what the last of them gives.
        layers = [layer for step in self._weights.steps for layer in step]
        ends = [-1]
        for step in self._weights.steps:
            ends.append(ends[-1] + len(step))
        wanted = sorted({i for i in self.layer_indices if i > 0})
        computed = encode_layers(
            first,
            tf.cast(inputs["padding_mask"], tf.bool),
            self._packed,
            num_heads=self._weights.num_heads,
            inner_dim=self._inner_dim,
            approximate_gelu=self._weights.approximate_gelu,
            steps=layers,
            wanted=[ends[i] for i in wanted],
            compute_dtype=self.compute_dtype,
            output_dtype=self.output_dtype,
        )
        states = dict(zip(wanted, computed, strict=True))
        if 0 in self.layer_indices:
            states[0] = tf.cast(first, self.output_dtype)
        return [states[index] for index in self.layer_indices]


def computes(compute_dtype: str) -> bool:
    """Whether a `NativeEncoder` can have this compute dtype."""
    return compute_dtype in _COMPUTE_DTYPES
