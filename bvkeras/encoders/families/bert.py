"""BERT: Devlin et al., 2019."""

import dataclasses
from collections.abc import Iterator

import keras
import keras_hub

from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    dense_tensors,
)
from bvkeras.encoders.families.with_segments import WithSegments

# The keras-hub presets whose authors trained them with the mean.
MEAN_PRESETS = (
    "all_minilm_l12_v2_en",
    "all_minilm_l6_v1_en",
    "all_minilm_l6_v2_en",
    "msmarco_minilm_l12_cos_v5_en",
    "msmarco_minilm_l6_cos_v5_en",
    "multi_qa_minilm_l6_cos_v1_en",
    "multilingual_e5_small",
    "mxbai_embed_xsmall_v1_en",
    "paraphrase_minilm_l12_v2_en",
    "paraphrase_minilm_l3_v2_en",
    "paraphrase_minilm_l6_v2_en",
)


class Bert(WithSegments):
    """BERT, and what has its network: MiniLM, BGE, E5, mxbai and others.

    Reference:
        Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers
        for Language Understanding", 2019.
    """

    name = "BERT"
    model_type = "bert"
    backbone_class = keras_hub.models.BertBackbone
    has_trained_pooler = True
    tensor_prefix = "bert."
    keras_tokenizer_class = keras_hub.models.BertTokenizer
    tokenizer_classes = ("BertTokenizer", "BertTokenizerFast")
    entries = dataclasses.replace(
        WithSegments.entries,
        size_defaults={
            "vocab_size": 30522,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
        },
    )

    def identity(self) -> dict[str, str]:
        # Caches and exports of BERT are older than there were others.
        return {}

    def preset_hidden_act(self, name: str) -> str:
        return "tanh" if name.startswith("bert_") else "erf"

    def preset_sentence_pooling(self, name: str) -> str:
        return "mean" if name in MEAN_PRESETS else "cls"

    def pooler_tensors(self, backbone: keras.Model) -> Iterator[TensorMapping]:
        yield from dense_tensors(
            "pooler.dense", backbone.pooled_dense, backbone.hidden_dim
        )
