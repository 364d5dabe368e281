"""XLM-RoBERTa: Conneau et al., 2020."""

import keras_hub

from bvkeras.encoders.families.roberta import Roberta


class XlmRoberta(Roberta):
    """XLM-RoBERTa: RoBERTa's network with a vocabulary of 100 languages.

    Reference:
        Conneau et al., "Unsupervised Cross-lingual Representation Learning at
        Scale", 2020.
    """

    name = "XLM-RoBERTa"
    model_type = "xlm-roberta"
    backbone_class = keras_hub.models.XLMRobertaBackbone
