"""DistilBERT: Sanh et al., 2019."""

from collections.abc import Iterator

import keras
import keras_hub

from bvkeras.encoders.families.config_entries import ConfigEntries
from bvkeras.encoders.families.layer_names import LayerNames
from bvkeras.encoders.families.without_segments import WithoutSegments


class DistilBert(WithoutSegments):
    """DistilBERT: BERT's layers, without segments and without a pooler.

    Reference:
        Sanh et al., "DistilBERT, a distilled version of BERT: smaller, faster,
        cheaper and lighter", 2019.
    """

    name = "DistilBERT"
    model_type = "distilbert"
    backbone_class = keras_hub.models.DistilBertBackbone
    tensor_prefix = "distilbert."
    keras_tokenizer_class = keras_hub.models.DistilBertTokenizer
    tokenizer_classes = (
        *("DistilBertTokenizer", "DistilBertTokenizerFast"),
        *("BertTokenizer", "BertTokenizerFast"),
    )
    entries = ConfigEntries(
        sizes={
            "vocabulary_size": "vocab_size",
            "num_layers": "n_layers",
            "num_heads": "n_heads",
            "hidden_dim": "dim",
            "intermediate_dim": "hidden_dim",
            "max_sequence_length": "max_position_embeddings",
        },
        activation="activation",
        dropout=("dropout", "attention_dropout"),
        # How positions were made; they are in the file in any case.
        idle=("sinusoidal_pos_embds", "tie_weights_"),
    )
    layer_names = LayerNames(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        intermediate="ffn.lin1",
        output="ffn.lin2",
        output_norm="output_layer_norm",
    )

    def layer_prefixes(
        self, backbone: keras.Model
    ) -> Iterator[tuple[str, keras.layers.Layer]]:
        for index, layer in enumerate(backbone.transformer_layers):
            yield f"transformer.layer.{index}", layer
