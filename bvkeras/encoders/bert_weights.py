"""The weights of BERT's layers, in the form that products take."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from bvkeras.encoders.families.registry import family_of
from bvkeras.errors import ArgumentError
from bvkeras.layers.gelu import get_hidden_act


@dataclasses.dataclass
class BertWeights:
    """What inference needs of a backbone: float32 tensors, copied.

    A dense layer is its kernel `(inputs, outputs)` and its bias, heads side by
    side; a LayerNorm is gamma, beta and epsilon. Queries, keys and values come
    from one dense layer, and queries are scaled already.

    Attributes:
        num_heads: int. Of attention.
        hidden_dim: int. Features of a hidden state.
        approximate_gelu: bool. GELU by tanh, not by erf.
        embeddings: list of tensors. Of tokens, of positions, and of segments
            if there are any.
        embeddings_norm: LayerNorm of their sum.
        projection: dense layer of the embeddings, or an empty list.
        layers: list of dict. "query_key_value", "attention_output",
            "attention_norm", "intermediate", "output" and "output_norm" of
            each layer.
        steps: list of list of int. The layers from each hidden state to the
            next, by their number.
    """

    num_heads: int
    hidden_dim: int
    approximate_gelu: bool
    embeddings: list[tf.Tensor]
    embeddings_norm: Any
    projection: Any
    layers: list[dict[str, Any]]
    steps: list[list[int]]

    @classmethod
    def of(cls, backbone: keras.Model, num_steps: int) -> "BertWeights":
        """The weights up to hidden state `num_steps`.

        Raises:
            ArgumentError: the backbone has other layers than BERT's.
        """
        family = family_of(backbone)
        if not family.has_bert_layer:
            raise ArgumentError(
                f"backbone: {family.name} has other layers than BERT, expected "
                "one that has BERT's; KerasEncoder computes it"
            )
        projection = family.projection(backbone)
        steps = family.steps(backbone)[:num_steps]
        # A layer that is used more than once has its weights here once.
        numbers: dict[int, tuple[int, keras.layers.Layer]] = {}
        for layer in [layer for step in steps for layer in step]:
            numbers.setdefault(id(layer), (len(numbers), layer))
        scale = (backbone.hidden_dim / backbone.num_heads) ** -0.5
        return cls(
            num_heads=backbone.num_heads,
            hidden_dim=backbone.hidden_dim,
            approximate_gelu=get_hidden_act(backbone) == "tanh",
            embeddings=[
                _tensor(variable) for variable in family.tables(backbone)
            ],
            embeddings_norm=_norm(backbone.embeddings_layer_norm),
            projection=[] if projection is None else _dense(projection),
            layers=[_layer(layer, scale) for _, layer in numbers.values()],
            steps=[[numbers[id(layer)][0] for layer in step] for step in steps],
        )

    def cast_dense(self, dtype: str) -> None:
        """Puts every dense layer's weights in another type."""

        def cast(weights):
            return [tf.cast(weight, dtype) for weight in weights]

        self.projection = cast(self.projection)
        self.layers = [
            {
                name: part if name.endswith("_norm") else cast(part)
                for name, part in layer.items()
            }
            for layer in self.layers
        ]

    def map(self, function: Callable[[tf.Tensor], Any]) -> None:
        """Puts `function(weight)` in the place of every weight."""

        def mapped(weight):
            return weight if isinstance(weight, float) else function(weight)

        parts = [self.embeddings, self.embeddings_norm]
        parts += [self.projection, self.layers]
        parts = tf.nest.map_structure(mapped, parts)
        self.embeddings, self.embeddings_norm = parts[:2]
        self.projection, self.layers = parts[2:]

    def embed(self, inputs: dict[str, tf.Tensor], dtype: str) -> tf.Tensor:
        """The first hidden state, in float32.

        Args:
            inputs: dict of int tensors `(batch, tokens)`. As of `FastEncoder`.
            dtype: str. What a projection is computed in.
        """
        token_ids = inputs["token_ids"]
        tokens, positions, *segments = self.embeddings
        state = tf.cast(tf.gather(tokens, token_ids), tf.float32)
        for table in segments:
            rows = tf.gather(table, inputs["segment_ids"])
            state += tf.cast(rows, tf.float32)
        state += tf.cast(positions[: tf.shape(token_ids)[1]], tf.float32)
        state = layer_norm(state, self.embeddings_norm)
        if not self.projection:
            return state
        batch, num_tokens, width = tf.unstack(tf.shape(state))
        rows = dense(tf.reshape(state, (-1, width)), self.projection, dtype)
        shape = (batch, num_tokens, self.hidden_dim)
        return tf.reshape(tf.cast(rows, tf.float32), shape)


def dense(rows: tf.Tensor, weights: Any, dtype: str) -> tf.Tensor:
    """A dense layer of rows `(rows, inputs)`, computed in `dtype`."""
    kernel, bias = weights
    return tf.nn.bias_add(tf.matmul(tf.cast(rows, dtype), kernel), bias)


def layer_norm(state: tf.Tensor, weights: Any) -> tf.Tensor:
    """LayerNorm of the last axis."""
    gamma, beta, epsilon = weights
    state -= tf.reduce_mean(state, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(state), axis=-1, keepdims=True)
    return state * (tf.math.rsqrt(variance + epsilon) * gamma) + beta


def _layer(layer, scale):
    attention = layer._self_attention_layer
    query = [weight * scale for weight in _dense(attention.query_dense)]
    parts = [query, _dense(attention.key_dense), _dense(attention.value_dense)]
    kernels, biases = zip(*parts, strict=True)
    return {
        "query_key_value": (tf.concat(kernels, 1), tf.concat(biases, 0)),
        "attention_output": _dense(attention.output_dense),
        "intermediate": _dense(layer._feedforward_intermediate_dense),
        "output": _dense(layer._feedforward_output_dense),
        "attention_norm": _norm(layer._self_attention_layer_norm),
        "output_norm": _norm(layer._feedforward_layer_norm),
    }


def _dense(layer):
    bias = tf.reshape(_tensor(layer.bias), (-1,))
    return tf.reshape(_tensor(layer.kernel), (-1, len(bias))), bias


def _norm(layer):
    return _tensor(layer.gamma), _tensor(layer.beta), layer.epsilon


def _tensor(variable):
    return tf.cast(keras.ops.convert_to_tensor(variable), tf.float32)
