"""Small hidden states to check with, and tasks that are easy to learn."""

import keras
import numpy as np

from bvkeras.errors import ArgumentError
from bvkeras.models.span_cross_entropy import SpanCrossEntropy

NUM_TOKENS, NUM_LAYERS, NUM_FEATURES = 5, 3, 7
KINDS = ("classes", "score", "span")
# What learning it must take the loss below, as a share of that before.
LEARNED = 0.6

_NUM_EXAMPLES = 128


def hidden_states() -> np.ndarray:
    """float32 array `(4 texts, 5 tokens, 3 layers, 7 features)`."""
    shape = (4, NUM_TOKENS, NUM_LAYERS, NUM_FEATURES)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def mask() -> np.ndarray:
    """bool array `(4, 5)`: texts of five tokens, three, one and none."""
    return np.arange(NUM_TOKENS) < np.array([[5], [3], [1], [0]])


def layers_of(states: np.ndarray) -> list[np.ndarray]:
    """Stacked hidden states as a list of layers."""
    return [np.ascontiguousarray(states[:, :, i]) for i in range(NUM_LAYERS)]


def quantized(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states in 8 bits: int8 values and float32 scales."""
    scales = np.abs(states).max(axis=-1) / 127 + 1e-9
    values = np.rint(states / scales[..., np.newaxis]).astype("int8")
    return values, scales.astype("float32")


def easy_task(kind: str) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Hidden states with a mask, and labels that one feature tells.

    Args:
        kind: str. One of `KINDS`.

    Returns:
        The pair `(hidden_states, mask)` of 128 texts, and their labels: a
        class by the feature's sign; its mean; the token where it is large.
    """
    random = np.random.default_rng(1)
    shape = (_NUM_EXAMPLES, NUM_TOKENS, NUM_LAYERS, NUM_FEATURES)
    states = random.normal(size=shape)
    lengths = random.integers(2, NUM_TOKENS + 1, size=_NUM_EXAMPLES)
    real = np.arange(NUM_TOKENS) < lengths[:, np.newaxis]
    if kind == "span":
        labels = random.integers(0, lengths)
        states[np.arange(_NUM_EXAMPLES), labels, 1, 2] += 8
        labels = np.stack([labels, labels], axis=1)
    else:
        # Far from zero for most texts: what is asked is not to be exact.
        states[:, :, 1, 2] += random.choice([-2.0, 2.0], (_NUM_EXAMPLES, 1))
        labels = (states[:, :, 1, 2] * real).sum(axis=1) / lengths
        labels = labels > 0 if kind == "classes" else labels
    states[~real] = 0
    dtype = "float32" if kind == "score" else "int32"
    return (states.astype("float32"), real), labels.astype(dtype)


def loss_of(kind: str) -> keras.losses.Loss:
    """The loss of an easy task."""
    if kind == "classes":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if kind == "span":
        return SpanCrossEntropy()
    return keras.losses.MeanSquaredError()


def check_kind(kind: str) -> None:
    """Raises ArgumentError if it is none of `KINDS`."""
    if kind not in KINDS:
        raise ArgumentError(
            f"kind: received {kind!r}, expected one of {', '.join(KINDS)}"
        )
