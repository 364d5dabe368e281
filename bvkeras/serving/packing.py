"""Word pieces to batches for the encoder, inside a TensorFlow graph."""

from typing import NamedTuple

import tensorflow as tf

from bvkeras.encoders.word_piece import WordPiece


class Rows(NamedTuple):
    """Which pieces the rows of a batch are made of.

    Attributes:
        first_a: int32 tensor `(rows,)`. Where the first text's pieces begin.
        length_a: int32 tensor `(rows,)`. How many they are.
        first_b: int32 tensor `(rows,)`, or None. Of the second text.
        length_b: int32 tensor `(rows,)`, or None.
    """

    first_a: tf.Tensor
    length_a: tf.Tensor
    first_b: tf.Tensor | None = None
    length_b: tf.Tensor | None = None


def truncated(rows: Rows, max_tokens: int) -> Rows:
    """Rows cut as `WordPiece.pack` cuts them.

    Args:
        rows: Rows.
        max_tokens: int. Most tokens in a row, the special ones counted.
    """
    if rows.length_b is None:
        return rows._replace(length_a=tf.minimum(rows.length_a, max_tokens - 2))
    room = max_tokens - 3
    length_a, length_b = rows.length_a, rows.length_b
    shorter = tf.minimum(tf.minimum(length_a, length_b), room // 2)
    a_is_shorter = length_a <= length_b
    fits = length_a + length_b <= room
    kept_a = tf.where(a_is_shorter, shorter, room - shorter)
    kept_b = tf.where(a_is_shorter, room - shorter, shorter)
    return rows._replace(
        length_a=tf.where(fits, length_a, kept_a),
        length_b=tf.where(fits, length_b, kept_b),
    )


def pack(
    ids: tf.Tensor, rows: Rows, tokenizer: WordPiece
) -> dict[str, tf.Tensor]:
    """Rows with special tokens, padded to the longest.

    Args:
        ids: int32 tensor `(pieces,)`.
        rows: Rows.
        tokenizer: WordPiece. Gives the ids of special tokens.

    Returns:
        dict of int32 tensors `(rows, tokens)`, as
        `bvkeras.encoders.word_piece.pad_rows` gives them.
    """
    # Something to gather where there is no piece at all.
    ids = tf.concat([ids, [tokenizer.pad_id]], 0)
    behind_a = rows.length_a[:, tf.newaxis] + 1
    last = behind_a
    if rows.length_b is not None:
        last = behind_a + rows.length_b[:, tf.newaxis] + 1
    # [CLS] and [SEP] are there at least, also where there is no row.
    width = tf.maximum(tf.reduce_max(last), 1) + 1
    places = tf.range(width)[tf.newaxis]
    in_first = places <= behind_a
    sources = rows.first_a[:, tf.newaxis] + places - 1
    is_sep = places == behind_a
    if rows.first_b is not None:
        in_second = rows.first_b[:, tf.newaxis] + places - behind_a - 1
        sources = tf.where(in_first, sources, in_second)
        is_sep |= places == last
    sources = tf.clip_by_value(sources, 0, tf.shape(ids)[0] - 1)
    token_ids = tf.where(is_sep, tokenizer.sep_id, tf.gather(ids, sources))
    token_ids = tf.where(places == 0, tokenizer.cls_id, token_ids)
    is_token = places <= last
    return {
        "token_ids": tf.where(is_token, token_ids, tokenizer.pad_id),
        "segment_ids": tf.cast(is_token & ~in_first, tf.int32),
        "padding_mask": tf.cast(is_token, tf.int32),
    }
