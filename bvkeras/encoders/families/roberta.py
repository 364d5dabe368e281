"""RoBERTa: Liu et al., 2019."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import keras_hub
import tokenizers
from tokenizers import processors

from bvkeras.encoders.families.tensor_mapping import TensorMapping
from bvkeras.encoders.families.tokenizer_content import byte_pair_content
from bvkeras.encoders.families.without_segments import WithoutSegments


class Roberta(WithoutSegments):
    """RoBERTa: BERT's layers, without segments and without a pooler.

    In Hugging Face's files positions are counted from after the id of the
    padding token, whose embeddings keras-hub leaves out; and there is one
    segment, whose embedding is added to those of positions.

    Reference:
        Liu et al., "RoBERTa: A Robustly Optimized BERT Pretraining Approach",
        2019.
    """

    name = "RoBERTa"
    model_type = "roberta"
    backbone_class = keras_hub.models.RobertaBackbone
    layer_norm_epsilon = 1e-5
    tensor_prefix = "roberta."
    # A pooler is in some files; none of those was trained.
    idle_tensors = ("pooler.dense.weight", "pooler.dense.bias")
    keras_tokenizer_class = keras_hub.models.RobertaTokenizer
    keras_files: tuple[str, ...] = ("vocabulary.json", "merges.txt")
    tokenizer_classes = ("RobertaTokenizer", "RobertaTokenizerFast")
    tokenizer_files: tuple[str, ...] = ("vocab.json", "merges.txt")
    pad_token = "<pad>"

    def check_config(self, config: Mapping[str, Any]) -> None:
        padding = config.get("pad_token_id", 1)
        if type(padding) is not int or padding < 0:
            raise ValueError(
                f"pad_token_id {padding!r}, expected a whole number: positions "
                "are counted from after it"
            )

    def sizes_of(self, config: Mapping[str, Any]) -> dict[str, int]:
        sizes = super().sizes_of(config)
        positions = sizes["max_sequence_length"]
        padding = config.get("pad_token_id", 1)
        if type(positions) is type(padding) is int:
            sizes["max_sequence_length"] = positions - padding - 1
        return sizes

    def tokenizer_content(
        self, paths: Sequence[pathlib.Path], config: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        add_prefix_space = bool(config.get("add_prefix_space", False))
        vocabulary_path, merges_path = paths
        return byte_pair_content(
            vocabulary_path,
            merges_path,
            ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
            lambda tokenizer: processors.RobertaProcessing(
                _with_id(tokenizer, "</s>"),
                _with_id(tokenizer, "<s>"),
                True,
                add_prefix_space,
            ),
            add_prefix_space,
        )

    def embedding_tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        for mapping in super().embedding_tensors(backbone, config):
            if mapping.name == "embeddings.position_embeddings.weight":
                mapping = mapping._replace(
                    first_row=_first_position(config),
                    added="embeddings.token_type_embeddings.weight",
                )
            yield mapping


def _first_position(config: Mapping[str, Any]) -> int:
    return config.get("pad_token_id", 1) + 1


def _with_id(tokenizer: tokenizers.Tokenizer, token: str) -> tuple[str, int]:
    number = tokenizer.token_to_id(token)
    # All special tokens were looked for before.
    assert number is not None
    return token, number
