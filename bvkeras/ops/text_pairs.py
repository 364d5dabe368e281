"""Pairs whose texts an encoder reads each by itself: apart and together again.

Both texts of a pair stand in one row of tokens, each with its own special
tokens, the second's segment ids 1: `[CLS] a [SEP] [CLS] b [SEP]`. An encoder
reads the texts as rows of their own. What it gives for a pair are the tokens
of the first and, after its padding, those of the second, with a mask that is
1 at the first's, 2 at the second's and 0 at padding.
"""

import math
from typing import Any

import tensorflow as tf

FIRST, SECOND = 1, 2


def split_pairs(inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Rows of pairs as rows of single texts.

    Args:
        inputs: dict of int tensors `(pairs, tokens)`: `"token_ids"`,
            `"segment_ids"`, 1 in second texts, and `"padding_mask"`.

    Returns:
        dict of int32 tensors `(2 · pairs, tokens)`, all first texts and then
        all second ones, padded to the longest text.
    """
    token_ids, segment_ids, padding = (
        tf.cast(inputs[name], tf.int32)
        for name in ("token_ids", "segment_ids", "padding_mask")
    )
    is_token = padding > 0
    in_second = is_token & (segment_ids > 0)
    first, second = (
        tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1)
        for chosen in (is_token & ~in_second, in_second)
    )
    lengths = tf.concat([first, second], 0)
    # The longest of no texts is the smallest of all numbers.
    places = tf.range(tf.maximum(tf.reduce_max(lengths), 1))[tf.newaxis]
    starts = tf.concat([tf.zeros_like(first), first], 0)[:, tf.newaxis]
    is_there = places < lengths[:, tf.newaxis]
    # A column more: where there is none, there is nothing to gather from.
    sources = tf.pad(tf.tile(token_ids, [2, 1]), ((0, 0), (0, 1)))
    ids = tf.gather(
        sources,
        tf.where(is_there, starts + places, 0),
        batch_dims=1,
    )
    ids = tf.where(is_there, ids, 0)
    return {
        "token_ids": ids,
        "segment_ids": tf.zeros_like(ids),
        "padding_mask": tf.cast(is_there, tf.int32),
    }


def join_pairs(values: tf.Tensor) -> tf.Tensor:
    """What an encoder gives for the rows of `split_pairs`, pair by pair.

    Args:
        values: tensor `(2 · pairs, tokens, …)`.

    Returns:
        Tensor `(pairs, 2 · tokens, …)`.
    """
    return tf.concat(tf.split(values, 2, axis=0), axis=1)


def pair_mask(padding_mask: tf.Tensor) -> tf.Tensor:
    """The mask of what `join_pairs` gives.

    Args:
        padding_mask: tensor `(2 · pairs, tokens)`, as `split_pairs` gives it.

    Returns:
        int32 tensor `(pairs, 2 · tokens)`: 1, 2, or 0 at padding.
    """
    first, second = tf.split(tf.cast(padding_mask, tf.int32), 2, axis=0)
    return tf.concat([FIRST * first, SECOND * second], axis=1)


def compared(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """`pair_features` of one layer's vectors, a tenth of them.

    What an encoder is fine-tuned through. Adam moves every weight of the layer
    on top by the same step; on the whole features, of which there are
    hundreds near 1, that layer would run ahead of the encoder.

    Args:
        first: float tensor `(pairs, features)`.
        second: float tensor `(pairs, features)`.

    Returns:
        Tensor `(pairs, 1 + 2 · features)`.
    """
    return _TENTH * pair_features(first[:, tf.newaxis], second[:, tf.newaxis])


def pair_features(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Cosines, differences and products of two texts' vectors, layer by layer.

    Of vectors divided by their root mean square, so that a layer's products
    have its cosine as their mean.

    Args:
        first: float tensor `(pairs, layers, features)`.
        second: float tensor `(pairs, layers, features)`.

    Returns:
        Tensor `(pairs, layers · (1 + 2 · features))`: a cosine for each
        layer, 0 where a text has no token; then the differences without
        their signs, then the products, each layer by layer.

    Reference:
        Conneau et al. 2017, "Supervised Learning of Universal Sentence
        Representations", section 3; Reimers and Gurevych 2019,
        "Sentence-BERT".
    """
    first, second = (_unit(vectors) for vectors in (first, second))
    products = first * second
    flat = math.prod(first.shape[1:])
    return tf.concat(
        [
            tf.reduce_mean(products, axis=-1),
            tf.reshape(tf.abs(first - second), (-1, flat)),
            tf.reshape(products, (-1, flat)),
        ],
        axis=1,
    )


def _unit(vectors):
    """Vectors of root mean square 1."""
    squares = tf.reduce_mean(tf.square(vectors), axis=-1, keepdims=True)
    return vectors * tf.math.rsqrt(tf.maximum(squares, _SMALLEST))


# Of a vector of zeros nothing is to become infinite, nor its gradient.
_SMALLEST = 1e-12
_TENTH = 0.1
