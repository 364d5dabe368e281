"""Keras layers: every hidden state of an encoder, and ways to pool them."""

import keras  # noqa: F401, before any module of ours: bvkeras/__init__.py

from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.layers.linear_pooling import LinearPooling
from bvkeras.layers.scalar_mix import ScalarMix

__all__ = ["HiddenStates", "LinearPooling", "ScalarMix"]
