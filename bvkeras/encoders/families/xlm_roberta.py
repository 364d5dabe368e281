"""XLM-RoBERTa: Conneau et al., 2020."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras_hub
from tokenizers import pre_tokenizers

from bvkeras.encoders.families.roberta import Roberta
from bvkeras.encoders.families.tokenizer_content import (
    two_texts,
    unigram_content,
)

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


class XlmRoberta(Roberta):
    """XLM-RoBERTa: RoBERTa's network with a vocabulary of 100 languages.

    Reference:
        Conneau et al., "Unsupervised Cross-lingual Representation Learning at
        Scale", 2020.
    """

    name = "XLM-RoBERTa"
    model_type = "xlm-roberta"
    backbone_class = keras_hub.models.XLMRobertaBackbone
    keras_tokenizer_class = keras_hub.models.XLMRobertaTokenizer
    keras_files = ("vocabulary.spm",)
    tokenizer_classes = ("XLMRobertaTokenizer", "XLMRobertaTokenizerFast")
    tokenizer_files = ("sentencepiece.bpe.model",)

    def tokenizer_content(
        self, paths: Sequence[pathlib.Path], config: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        return unigram_content(
            paths[0],
            (*_SPECIAL, "<mask>"),
            two_texts("<s>", ["</s>", "</s>"], "</s>", segments=False),
            # fairseq's vocabulary: its own first four, and one after.
            pieces=lambda pieces: [
                *((token, 0.0) for token in _SPECIAL),
                *pieces[3:],
                ("<mask>", 0.0),
            ],
            unknown="<unk>",
            splitters=[pre_tokenizers.WhitespaceSplit()],
        )
