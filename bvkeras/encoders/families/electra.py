"""ELECTRA: Clark et al., 2020."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import keras_hub

from bvkeras.encoders.families.config_entries import ConfigEntries
from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    dense_tensors,
)
from bvkeras.encoders.families.with_segments import WithSegments


class Electra(WithSegments):
    """ELECTRA: BERT's layers on embeddings that may be narrower.

    keras-hub computes the tanh GELU; Hugging Face's checkpoints say erf, which
    is what the authors' code computes. keras-hub's backbone has a pooler that
    no checkpoint has weights for.

    Reference:
        Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators
        Rather Than Generators", 2020; code of google-research/electra.
    """

    name = "ELECTRA"
    model_type = "electra"
    backbone_class = keras_hub.models.ElectraBackbone
    tensor_prefix = "electra."
    keras_tokenizer_class = keras_hub.models.ElectraTokenizer
    tokenizer_classes = (
        *("ElectraTokenizer", "ElectraTokenizerFast"),
        *("BertTokenizer", "BertTokenizerFast"),
    )
    entries = ConfigEntries(
        sizes={
            "vocab_size": "vocab_size",
            "num_layers": "num_hidden_layers",
            "num_heads": "num_attention_heads",
            "hidden_dim": "hidden_size",
            "embedding_dim": "embedding_size",
            "intermediate_dim": "intermediate_size",
            "max_sequence_length": "max_position_embeddings",
            "num_segments": "type_vocab_size",
        },
        size_defaults={"type_vocab_size": 2},
    )

    def config(self, backbone: keras.Model) -> dict[str, Any]:
        config = super().config(backbone)
        return {"vocabulary_size": config.pop("vocab_size"), **config}

    @property
    def config_sizes(self) -> tuple[str, ...]:
        others = (name for name in self.entries.sizes if name != "vocab_size")
        return ("vocabulary_size", *others)

    def arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return super().arguments(
            {**config, "vocab_size": config["vocabulary_size"]}
        )

    def vocabulary_size(self, backbone: keras.Model) -> int:
        return backbone.vocab_size

    def num_embeddings(self, sizes: Mapping[str, int]) -> int:
        return super().num_embeddings(
            {**sizes, "vocabulary_size": sizes["vocab_size"]}
        )

    def embedding_tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        yield from super().embedding_tensors(backbone, config)
        projection = self.projection(backbone)
        if projection is not None:
            yield from dense_tensors(
                "embeddings_project", projection, backbone.embedding_dim
            )
