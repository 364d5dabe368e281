"""BERT: Devlin et al., 2019."""

from collections.abc import Iterator

import keras
import keras_hub

from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    dense_tensors,
)
from bvkeras.encoders.families.with_segments import WithSegments


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
    tokenizer_classes = ("BertTokenizer", "BertTokenizerFast")

    def identity(self) -> dict[str, str]:
        # Caches and exports of BERT are older than there were others.
        return {}

    def pooler_tensors(self, backbone: keras.Model) -> Iterator[TensorMapping]:
        yield from dense_tensors(
            "pooler.dense", backbone.pooled_dense, backbone.hidden_dim
        )
