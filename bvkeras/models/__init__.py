"""Keras models: pooled heads on hidden states."""

from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.models.pooling_regressor import PoolingRegressor
from bvkeras.models.pooling_span_model import PoolingSpanModel

__all__ = ["PoolingClassifier", "PoolingRegressor", "PoolingSpanModel"]
