"""DeBERTa-v3: He et al., 2021."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import keras_hub
from tokenizers import Regex, normalizers, pre_tokenizers

from bvkeras.encoders.families.config_entries import ConfigEntries
from bvkeras.encoders.families.family import Family
from bvkeras.encoders.families.layer_names import LayerNames
from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    norm_tensors,
)
from bvkeras.encoders.families.tokenizer_content import (
    two_texts,
    unigram_content,
)


class DebertaV3(Family):
    """DeBERTa-v3: attention that sees how far tokens are from each other.

    There are no embeddings of positions and segments; every layer is given
    the same embeddings of distances. Hugging Face calls the network
    `deberta-v2`; DeBERTa-v2 itself has a convolution, which keras-hub has not.

    Reference:
        He et al., "DeBERTaV3: Improving DeBERTa using ELECTRA-Style
        Pre-Training with Gradient-Disentangled Embedding Sharing", 2021.
    """

    name = "DeBERTa-v3"
    model_type = "deberta-v2"
    backbone_class = keras_hub.models.DebertaV3Backbone
    has_segments = False
    has_bert_layer = False
    layer_norm_epsilon = 1e-7
    default_hidden_act = "erf"
    tensor_prefix = "deberta."
    # Some files have them; transformers leaves them out, too.
    idle_tensors = (
        "embeddings.position_embeddings.weight",
        "embeddings.position_embeddings._weight",
        "embeddings.word_embeddings._weight",
    )
    keras_tokenizer_class = keras_hub.models.DebertaV3Tokenizer
    keras_files = ("vocabulary.spm",)
    tokenizer_classes = ("DebertaV2Tokenizer", "DebertaV2TokenizerFast")
    tokenizer_files = ("spm.model",)
    entries = ConfigEntries(
        more_sizes={"bucket_size": "position_buckets"},
        default_epsilon=1e-7,
        fixed={
            "relative_attention": (False, (True,)),
            "position_biased_input": (True, (False,)),
            "norm_rel_ebd": ("none", ("layer_norm",)),
            "share_att_key": (False, (True,)),
            "type_vocab_size": (0, (0,)),
            "conv_kernel_size": (0, (0,)),
            "pos_att_type": (
                None,
                ("p2c|c2p", "c2p|p2c", ["p2c", "c2p"], ["c2p", "p2c"]),
            ),
        },
        idle=(
            # What `check_config` looks at.
            *("max_relative_positions", "embedding_size"),
            "attention_head_size",
            *("pooler_dropout", "pooler_hidden_act", "pooler_hidden_size"),
            *("legacy", "padding_idx", "vocab_type"),
        ),
    )
    layer_names = LayerNames(
        query="attention.self.query_proj",
        key="attention.self.key_proj",
        value="attention.self.value_proj",
    )

    def embedding_layers(
        self, backbone: keras.Model
    ) -> list[keras.layers.Layer]:
        return [
            backbone.token_embedding,
            backbone.embeddings_layer_norm,
            backbone.relative_embeddings,
        ]

    def tables(self, backbone: keras.Model) -> list[keras.Variable]:
        return [backbone.token_embedding.embeddings]

    def embed(
        self, backbone: keras.Model, inputs: dict[str, Any], training: Any
    ) -> Any:
        state = backbone.token_embedding(inputs["token_ids"])
        state = backbone.embeddings_layer_norm(state)
        return backbone.embeddings_dropout(state, training=training)

    def hidden_states(
        self,
        backbone: keras.Model,
        inputs: dict[str, Any],
        highest: int,
        training: Any = None,
    ) -> list[Any]:
        state = self.embed(backbone, inputs, training)
        states = [state]
        distances = backbone.relative_embeddings(state)
        for (layer,) in self.steps(backbone)[:highest]:
            # It takes `training` from the layer that calls it.
            state = layer(
                state,
                rel_embeddings=distances,
                padding_mask=inputs["padding_mask"],
            )
            states.append(state)
        return states

    def attention_layers(
        self, layer: keras.layers.Layer
    ) -> dict[str, keras.layers.Layer]:
        attention = layer._self_attention_layer
        return {
            "query": attention._query_dense,
            "key": attention._key_dense,
            "value": attention._value_dense,
            "attention_output": attention._output_dense,
        }

    def num_embeddings(self, sizes: Mapping[str, int]) -> int:
        # Both signs of a distance, and a LayerNorm of their own.
        return sizes["vocabulary_size"] + 2 * sizes["bucket_size"] + 2

    def check_config(self, config: Mapping[str, Any]) -> None:
        positions = config["max_position_embeddings"]
        distance = config.get("max_relative_positions", -1)
        # transformers takes all positions for a distance below 1.
        if distance not in (-1, 0, positions):
            raise ValueError(
                f"max_relative_positions {distance!r}, expected -1 or "
                f"max_position_embeddings {positions}"
            )
        hidden = config["hidden_size"]
        for entry, expected in (
            ("embedding_size", hidden),
            ("attention_head_size", hidden // config["num_attention_heads"]),
        ):
            if config.get(entry, expected) != expected:
                raise ValueError(
                    f"{entry} {config[entry]!r}, expected {expected}"
                )

    def tokenizer_content(
        self, paths: Sequence[pathlib.Path], config: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        lowercase = config.get("do_lower_case", False)
        isolates = config.get("split_by_punct", False)
        return unigram_content(
            paths[0],
            ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"),
            two_texts("[CLS]", ["[SEP]"], "[SEP]", segments=True),
            pieces=list,
            unknown="[UNK]",
            before=[
                *([normalizers.Lowercase()] if lowercase else []),
                normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
                normalizers.NFC(),
                normalizers.Strip(left=False, right=True),
            ],
            keeps_table=False,
            splitters=[pre_tokenizers.Punctuation("isolated")] * isolates,
        )

    def embedding_tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        (tokens,) = self.tables(backbone)
        yield TensorMapping("embeddings.word_embeddings.weight", tokens)
        yield from norm_tensors(
            "embeddings.LayerNorm", backbone.embeddings_layer_norm
        )
        distances = backbone.relative_embeddings
        yield TensorMapping(
            "encoder.rel_embeddings.weight", distances.rel_embeddings
        )
        yield from norm_tensors("encoder.LayerNorm", distances.layer_norm)
