"""Keras models: heads on hidden states, and losses of tokens."""

import keras  # noqa: F401, before any module of ours: bvkeras/__init__.py

from bvkeras.models.linear_probe import LinearProbe
from bvkeras.models.multi_task import MultiTaskModel
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.models.pooling_regressor import PoolingRegressor
from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.models.pooling_tagger import PoolingTagger
from bvkeras.models.span_cross_entropy import SpanCrossEntropy
from bvkeras.models.token_cross_entropy import TokenCrossEntropy
from bvkeras.models.weighted_probe import WeightedProbe

__all__ = [
    "LinearProbe",
    "MultiTaskModel",
    "PoolingClassifier",
    "PoolingRegressor",
    "PoolingSpanModel",
    "PoolingTagger",
    "SpanCrossEntropy",
    "TokenCrossEntropy",
    "WeightedProbe",
]
