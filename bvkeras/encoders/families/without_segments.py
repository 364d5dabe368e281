"""Families whose encoders add embeddings of tokens and positions only."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from bvkeras.encoders.families.family import Family
from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    norm_tensors,
)


class WithoutSegments(Family):
    """Embeddings of tokens and positions; keras-hub has them in one layer."""

    has_segments = False
    default_hidden_act = "erf"

    def embedding_layers(
        self, backbone: keras.Model
    ) -> list[keras.layers.Layer]:
        return [backbone.embeddings, backbone.embeddings_layer_norm]

    def tables(self, backbone: keras.Model) -> list[keras.Variable]:
        layer = backbone.embeddings
        return [
            layer.token_embedding.embeddings,
            layer.position_embedding.position_embeddings,
        ]

    def embed(
        self, backbone: keras.Model, inputs: dict[str, Any], training: Any
    ) -> Any:
        state = backbone.embeddings(inputs["token_ids"])
        state = backbone.embeddings_layer_norm(state)
        return backbone.embeddings_dropout(state, training=training)

    def embedding_tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        tokens, positions = self.tables(backbone)
        yield TensorMapping("embeddings.word_embeddings.weight", tokens)
        yield TensorMapping("embeddings.position_embeddings.weight", positions)
        yield from norm_tensors(
            "embeddings.LayerNorm", backbone.embeddings_layer_norm
        )
