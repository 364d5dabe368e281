"""ALBERT: Lan et al., 2020."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import keras_hub
from tokenizers import normalizers, pre_tokenizers

from bvkeras.encoders.families.config_entries import ConfigEntries
from bvkeras.encoders.families.layer_names import LayerNames
from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    dense_tensors,
)
from bvkeras.encoders.families.tokenizer_content import (
    two_texts,
    unigram_content,
)
from bvkeras.encoders.families.with_segments import WithSegments


class Albert(WithSegments):
    """ALBERT: one transformer layer, or a few, used again and again.

    A group of layers is one layer in all published ones; a hidden state is
    what comes out of a group. Embeddings are narrower, and projected.

    Reference:
        Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of
        Language Representations", 2020.
    """

    name = "ALBERT"
    model_type = "albert"
    backbone_class = keras_hub.models.AlbertBackbone
    has_trained_pooler = True
    shares_layers = True
    tensor_prefix = "albert."
    keras_tokenizer_class = keras_hub.models.AlbertTokenizer
    more_keras_sizes = ("num_inner_repetitions",)
    keras_files = ("vocabulary.spm",)
    tokenizer_classes = ("AlbertTokenizer", "AlbertTokenizerFast")
    tokenizer_files = ("spiece.model",)
    pad_token = "<pad>"
    multiples = (*WithSegments.multiples, ("num_layers", "num_groups"))
    entries = ConfigEntries(
        more_sizes={
            "num_segments": "type_vocab_size",
            "embedding_dim": "embedding_size",
            "num_groups": "num_hidden_groups",
        },
        size_defaults={
            "type_vocab_size": 2,
            "num_hidden_groups": 1,
        },
        default_activation="gelu_new",
        default_dropout=0.0,
        # Which of several layers of a group give a hidden state differs from
        # one version of transformers to the next; no published ALBERT has any.
        fixed={"inner_group_num": (1, (1,))},
        # Of Google's own files; nothing reads them.
        idle=(
            *("down_scale_factor", "gap_size", "net_structure_type"),
            "num_memory_blocks",
        ),
    )
    layer_names = LayerNames(
        query="attention.query",
        key="attention.key",
        value="attention.value",
        attention_output="attention.dense",
        attention_norm="attention.LayerNorm",
        intermediate="ffn",
        output="ffn_output",
        output_norm="full_layer_layer_norm",
    )

    def steps(
        self, backbone: keras.Model
    ) -> list[tuple[keras.layers.Layer, ...]]:
        times = backbone.num_layers // backbone.num_groups
        return [
            tuple(group)
            for group in backbone.transformer_layers
            for _ in range(times)
        ]

    def has_projection(self, sizes: Mapping[str, int]) -> bool:
        # Also where it makes nothing wider.
        return True

    def num_distinct_layers(self, sizes: Mapping[str, int]) -> int:
        return sizes["num_groups"] * sizes.get("num_inner_repetitions", 1)

    def preset_hidden_act(self, name: str) -> str:
        return "tanh"

    def tokenizer_content(
        self, paths: Sequence[pathlib.Path], config: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        before: list[normalizers.Normalizer] = [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
        ]
        if not config.get("keep_accents", False):
            before += [normalizers.NFKD(), normalizers.StripAccents()]
        if config.get("do_lower_case", True):
            before.append(normalizers.Lowercase())
        return unigram_content(
            paths[0],
            ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
            two_texts("[CLS]", ["[SEP]"], "[SEP]", segments=True),
            pieces=list,
            unknown="<unk>",
            before=before,
            splitters=[pre_tokenizers.WhitespaceSplit()],
        )

    def embedding_tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        yield from super().embedding_tensors(backbone, config)
        yield from dense_tensors(
            "encoder.embedding_hidden_mapping_in",
            backbone.embeddings_projection,
            backbone.embedding_dim,
        )

    def layer_prefixes(
        self, backbone: keras.Model
    ) -> Iterator[tuple[str, keras.layers.Layer]]:
        for number, group in enumerate(backbone.transformer_layers):
            prefix = f"encoder.albert_layer_groups.{number}.albert_layers"
            for index, layer in enumerate(group):
                yield f"{prefix}.{index}", layer

    def pooler_tensors(self, backbone: keras.Model) -> Iterator[TensorMapping]:
        yield from dense_tensors(
            "pooler", backbone.pooled_dense, backbone.hidden_dim
        )
