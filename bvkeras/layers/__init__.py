"""Keras layers: every hidden state of an encoder, and ways to pool them."""

from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.layers.linear_pooling import LinearPooling
from bvkeras.layers.scalar_mix import ScalarMix

__all__ = ["HiddenStates", "LinearPooling", "ScalarMix"]
