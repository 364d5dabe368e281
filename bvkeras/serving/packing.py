"""Word pieces to batches for the encoder, inside a TensorFlow graph."""

from typing import NamedTuple

import tensorflow as tf

from bvkeras.encoders.special_tokens import SpecialTokens
from bvkeras.encoders.tokenizer import Tokenizer


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


def truncated(
    rows: Rows,
    max_tokens: int,
    special_tokens: SpecialTokens,
    apart: bool = False,
) -> Rows:
    """Rows cut as `Tokenizer.pack` cuts them.

    Args:
        rows: Rows.
        max_tokens: int. Most tokens in a row, the special ones counted.
        special_tokens: SpecialTokens.
        apart: bool. Whether each of two texts is cut by itself. Defaults to
            `False`.
    """
    if apart or rows.length_b is None:
        room = max_tokens - special_tokens.count(1)
        rows = rows._replace(length_a=tf.minimum(rows.length_a, room))
        if rows.length_b is None:
            return rows
        return rows._replace(length_b=tf.minimum(rows.length_b, room))
    room = max_tokens - special_tokens.count(2)
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
    ids: tf.Tensor, rows: Rows, tokenizer: Tokenizer, apart: bool = False
) -> dict[str, tf.Tensor]:
    """Rows with special tokens, padded to the longest.

    Args:
        ids: int32 tensor `(pieces,)`.
        rows: Rows.
        tokenizer: Tokenizer. Gives the ids of special tokens.
        apart: bool. Whether two texts have special tokens of their own, as
            `bvkeras.ops.text_pairs` takes them. Defaults to `False`.

    Returns:
        dict of int32 tensors `(rows, tokens)`, as
        `bvkeras.encoders.tokenizer.pad_rows` gives them.
    """
    # Something to gather where there is no piece at all.
    ids = tf.concat([ids, [tokenizer.pad_id]], 0)
    special = tokenizer.special_tokens
    between = special.between
    if apart:
        between = (special.sep_id, special.cls_id)
    behind_a = rows.length_a[:, tf.newaxis] + 1
    begin_b, last = behind_a + 1, behind_a
    if rows.length_b is not None:
        begin_b = behind_a + len(between)
        last = begin_b + rows.length_b[:, tf.newaxis]
    # [CLS] and [SEP] are there at least, also where there is no row.
    width = tf.maximum(tf.reduce_max(last), 1) + 1
    places = tf.range(width)[tf.newaxis]
    is_token = places <= last
    sources = rows.first_a[:, tf.newaxis] + places - 1
    in_second = is_token & (places >= begin_b)
    if rows.first_b is not None:
        sources = tf.where(
            in_second, rows.first_b[:, tf.newaxis] + places - begin_b, sources
        )
    sources = tf.clip_by_value(sources, 0, tf.shape(ids)[0] - 1)
    token_ids = tf.gather(ids, sources)
    if rows.length_b is not None:
        for number, token in enumerate(between):
            is_here = places == behind_a + number
            token_ids = tf.where(is_here, token, token_ids)
    token_ids = tf.where(places == last, special.sep_id, token_ids)
    token_ids = tf.where(places == 0, special.cls_id, token_ids)
    if apart:
        in_second = is_token & (places >= begin_b - 1)
    return {
        "token_ids": tf.where(is_token, token_ids, tokenizer.pad_id),
        "segment_ids": tf.cast(in_second, tf.int32),
        "padding_mask": tf.cast(is_token, tf.int32),
    }
