"""Families whose encoders add embeddings of tokens, positions and segments."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from bvkeras.encoders.families.config_entries import ConfigEntries
from bvkeras.encoders.families.family import Family
from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    norm_tensors,
)


class WithSegments(Family):
    """BERT's embeddings: of tokens, positions and segments."""

    entries = ConfigEntries(
        more_sizes={"num_segments": "type_vocab_size"},
        size_defaults={"type_vocab_size": 2},
    )

    def embedding_layers(
        self, backbone: keras.Model
    ) -> list[keras.layers.Layer]:
        projection = self.projection(backbone)
        return [
            backbone.token_embedding,
            backbone.position_embedding,
            backbone.segment_embedding,
            backbone.embeddings_layer_norm,
            *([] if projection is None else [projection]),
        ]

    def tables(self, backbone: keras.Model) -> list[keras.Variable]:
        return [
            backbone.token_embedding.embeddings,
            backbone.position_embedding.position_embeddings,
            backbone.segment_embedding.embeddings,
        ]

    def projection(self, backbone: keras.Model) -> keras.layers.Layer | None:
        return getattr(backbone, "embeddings_projection", None)

    def embed(
        self, backbone: keras.Model, inputs: dict[str, Any], training: Any
    ) -> Any:
        tokens = backbone.token_embedding(inputs["token_ids"])
        positions = backbone.position_embedding(tokens)
        segments = backbone.segment_embedding(inputs["segment_ids"])
        state = backbone.embeddings_add((tokens, positions, segments))
        state = backbone.embeddings_layer_norm(state)
        state = backbone.embeddings_dropout(state, training=training)
        projection = self.projection(backbone)
        return state if projection is None else projection(state)

    def embedding_tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        tokens, positions, segments = self.tables(backbone)
        yield TensorMapping("embeddings.word_embeddings.weight", tokens)
        yield TensorMapping("embeddings.position_embeddings.weight", positions)
        yield TensorMapping("embeddings.token_type_embeddings.weight", segments)
        yield from norm_tensors(
            "embeddings.LayerNorm", backbone.embeddings_layer_norm
        )
