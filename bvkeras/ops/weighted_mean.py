"""Means over tokens whose weights a query for each layer decides.

    s[b,t,l] = Σ_e H[b,t,l,e] q[l,e]
    a[b,·,l] = softmax over the real tokens of s[b,·,l]
    U[b,l,e] = Σ_t a[b,t,l] H[b,t,l,e]

With q = 0 that is the plain mean over the real tokens.

Reference:
    Yang et al. 2016, "Hierarchical Attention Networks for Document
    Classification", section 2.2, without its hidden layer.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from bvkeras.ops.hidden_states import dequantize, zero_padding

# Added to what stands at other tokens: its exponential is zero.
_NOT_READ = -1e9


def by_layers(hidden_states: Any, mask: Any) -> tf.Tensor:
    """Hidden states in any of their forms as float32 `(batch, layers, tokens,
    features)`, zero at padding.

    Args:
        hidden_states: tensor `(batch, tokens, layers, features)`, list of
            layers, or 8-bit pair of either.
        mask: tensor `(batch, tokens)`, not 0 at real tokens, or `None`.
    """
    states = dequantize(hidden_states, "float32")
    states = tf.nest.map_structure(tf.convert_to_tensor, states)
    states = zero_padding(states, mask)
    if isinstance(states, (list, tuple)):
        return tf.stack([tf.cast(one, tf.float32) for one in states], axis=1)
    return tf.transpose(tf.cast(states, tf.float32), (0, 2, 1, 3))


def weighted_means(
    states: tf.Tensor, query: tf.Tensor, masks: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """The weighted means of one or more sets of tokens.

    Args:
        states: float32 tensor `(batch, layers, tokens, features)`, as
            `by_layers` gives it.
        query: float32 tensor `(layers, features)`, or several at once,
            `(layers, features, heads)`.
        masks: sequence of bool tensors `(batch, tokens)`. The tokens of each
            mean.

    Returns:
        list of float32 tensors `(batch, layers, features)`, of several
        queries `(batch, layers, heads, features)`, one for each mask; zero
        where there is no token.
    """
    is_one = query.shape.rank == 2
    queries = query[..., tf.newaxis] if is_one else query
    # `(batch, layers, heads, tokens)`.
    scores = tf.matmul(queries[tf.newaxis], states, True, True)
    weights = []
    for mask in masks:
        mask = mask[:, tf.newaxis, tf.newaxis]
        shares = tf.nn.softmax(tf.where(mask, scores, _NOT_READ))
        weights.append(shares * tf.cast(mask, tf.float32))
    # One product for all: the states are read once.
    means = tf.matmul(tf.concat(weights, axis=2), states)
    found = tf.split(means, len(masks), axis=2)
    return [tf.squeeze(mean, 2) for mean in found] if is_one else found


def read_masks(mask: Any, states: tf.Tensor, pairs: bool) -> list[tf.Tensor]:
    """Which tokens are of a text, or of the first and of the second one.

    Args:
        mask: tensor `(batch, tokens)`, not 0 at real tokens; of pairs apart 1
            at the first text's and 2 at the second's. Or `None`, but for
            pairs: all are real.
        states: tensor `(batch, layers, tokens, features)`.
        pairs: bool. Whether an example is two texts.

    Returns:
        list of bool tensors `(batch, tokens)`, one, or two of pairs.
    """
    if pairs:
        mask = tf.cast(mask, tf.int32)
        return [tf.equal(mask, 1), tf.equal(mask, 2)]
    if mask is None:
        shape = keras.ops.shape(states)
        return [tf.ones((shape[0], shape[2]), tf.bool)]
    return [tf.cast(mask, tf.bool)]
