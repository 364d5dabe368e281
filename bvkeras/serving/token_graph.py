"""Windows over texts, and the entities of their words, inside a graph."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bvkeras.data.token_windows import window_steps
from bvkeras.encoders.special_tokens import SpecialTokens
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.serving.packing import Rows
from bvkeras.serving.text_graph import Pieces
from bvkeras.tasks.tag_scheme import OUTSIDE

# What stands after the last entity of a text that has fewer than another.
NO_PLACE = -1


class TextWindows(NamedTuple):
    """All windows of a batch of texts, one text's after another's.

    Attributes:
        rows: Rows. The part of the text.
        texts: int32 tensor `(windows,)`. The text each belongs to.
        counts: int32 tensor `(texts,)`. How many a text has.
    """

    rows: Rows
    texts: tf.Tensor
    counts: tf.Tensor


class Words(NamedTuple):
    """All words of a batch of texts, one text's after another's.

    A word is what BERT's tokenizer takes for one, before it is made pieces
    of: it ends at blanks, punctuation and Chinese characters.

    Attributes:
        texts: int32 tensor `(words,)`. The text each is of.
        starts: int32 tensor `(words,)`. Its first character there.
        ends: int32 tensor `(words,)`. The character after its last.
        logits: float32 tensor `(words, classes)`.
    """

    texts: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    logits: tf.Tensor


def make_windows(
    pieces: Pieces, max_tokens: int, special_tokens: SpecialTokens
) -> TextWindows:
    """The windows that `bvkeras.data.token_windows.token_windows` makes.

    Args:
        pieces: Pieces. Those of the texts.
        max_tokens: int. Most tokens of a window.
        special_tokens: SpecialTokens. Those of the tokenizer.
    """
    room = max_tokens - special_tokens.count(1)
    overlap, stride = window_steps(room)
    lengths = pieces.lengths
    counts = (tf.maximum(lengths - overlap, 1) + stride - 1) // stride
    texts = tf.repeat(tf.range(tf.shape(lengths)[0]), counts)
    numbers = tf.range(tf.shape(texts)[0]) - tf.gather(
        tf.cumsum(counts, exclusive=True), texts
    )
    starts = numbers * stride
    rows = Rows(
        first_a=tf.gather(pieces.row_splits[:-1], texts) + starts,
        length_a=tf.minimum(tf.gather(lengths, texts) - starts, room),
    )
    return TextWindows(rows, texts, counts)


def find_words(
    logits: tf.Tensor,
    windows: TextWindows,
    pieces: Pieces,
    tokenizer: Tokenizer,
    max_tokens: int,
) -> Words:
    """Each word with the outputs of its first piece, in its best window.

    Args:
        logits: float32 tensor `(windows, tokens, classes)`.
        windows: TextWindows.
        pieces: Pieces, with offsets.
        tokenizer: Tokenizer.
        max_tokens: int. As `make_windows`.
    """
    num_special = tokenizer.special_tokens.count(1)
    overlap, stride = window_steps(max_tokens - num_special)
    num_pieces = tf.shape(pieces.ids)[0]
    text_of = _owners(pieces.row_splits, num_pieces)
    places = tf.range(num_pieces) - tf.gather(pieces.row_splits, text_of)
    is_continued = pieces.continued
    if is_continued is None:
        assert isinstance(tokenizer, WordPiece)
        is_continued = tf.gather(
            tf.constant(tokenizer.continued_pieces), pieces.ids
        )
    first = _where(tf.logical_not(is_continued) | tf.equal(places, 0))
    texts, places = tf.gather(text_of, first), tf.gather(places, first)
    # As `token_windows` says which window answers.
    numbers = tf.clip_by_value(
        (places - (overlap + 1) // 2) // stride,
        0,
        tf.gather(windows.counts, texts) - 1,
    )
    row = numbers + tf.gather(tf.cumsum(windows.counts, exclusive=True), texts)
    token = places - numbers * stride + 1
    num_tokens, num_classes = tf.shape(logits)[1], logits.shape[2]
    found = tf.gather(
        tf.reshape(logits, [-1, num_classes]), row * num_tokens + token
    )
    last = tf.concat([first[1:], [num_pieces]], 0)[: tf.shape(first)[0]] - 1
    assert pieces.offsets is not None
    return Words(
        texts,
        tf.gather(pieces.offsets[:, 0], first),
        tf.gather(pieces.offsets[:, 1], last),
        found,
    )


def find_entities(
    words: Words, texts: tf.Tensor, label_names: Sequence[str]
) -> dict[str, tf.Tensor]:
    """The entities of each text, as `TagScheme.entities` finds them.

    Args:
        words: Words.
        texts: string tensor `(texts,)`.
        label_names: sequence of str. The tags, as models learn them.

    Returns:
        dict of tensors `(texts, entities)`, as wide as most entities of a
        text: strings "entity" and "type", int32 "start" and "end", first
        character and the one after the last, float32 "score", the mean
        probability of the words' tags. After a text's last entity `""`,
        `NO_PLACE` and 0.
    """
    names, kind_of, begins = _tables(label_names)
    classes = tf.argmax(words.logits, axis=-1, output_type=tf.int32)
    shares = tf.reduce_max(tf.nn.softmax(words.logits), axis=-1)
    kinds = tf.gather(tf.constant(kind_of), classes)
    is_inside = kinds >= 0
    is_first = is_inside & (
        tf.gather(tf.constant(begins), classes)
        | tf.not_equal(kinds, _before(kinds))
        | tf.not_equal(words.texts, _before(words.texts))
    )
    goes_on = is_inside & tf.logical_not(is_first)
    next_goes_on = tf.concat([goes_on, [False]], 0)[1:]
    first = _where(is_first)
    last = _where(is_inside & tf.logical_not(next_goes_on))
    sums = tf.concat([[0.0], tf.cast(shares, tf.float64)], 0)
    sums = tf.cumsum(sums)
    counts = tf.cast(last - first + 1, tf.float64)
    scores = (tf.gather(sums, last + 1) - tf.gather(sums, first)) / counts
    starts = tf.gather(words.starts, first)
    ends = tf.gather(words.ends, last)
    text_of = tf.gather(words.texts, first)
    places = _places(text_of, tf.shape(texts)[0])
    return {
        "entity": _spread(_parts(texts, text_of, starts, ends), "", places),
        "type": _spread(
            tf.gather(tf.constant(names), tf.gather(kinds, first)), "", places
        ),
        "start": _spread(starts, NO_PLACE, places),
        "end": _spread(ends, NO_PLACE, places),
        "score": _spread(tf.cast(scores, tf.float32), 0.0, places),
    }


def _tables(label_names):
    """Names of types; of each class its type, or -1, and whether it begins."""
    if OUTSIDE not in label_names:
        every = np.arange(len(label_names), dtype=np.int32)
        return list(label_names), every, np.ones(len(every), bool)
    names = sorted({name[2:] for name in label_names if name != OUTSIDE})
    kinds = [
        -1 if name == OUTSIDE else names.index(name[2:]) for name in label_names
    ]
    begins = [name.startswith("B-") for name in label_names]
    # Something to gather from, where no tag but `O` is known.
    return names or [""], np.array(kinds, np.int32), np.array(begins)


def _parts(texts, text_of, starts, ends):
    """`texts[text_of][starts:ends]`, without a copy of a text for each."""
    splits, codes = tf.raw_ops.UnicodeDecode(
        input=texts, input_encoding="UTF-8", errors="replace", Tsplits=tf.int32
    )
    lengths = ends - starts
    # Where each part's characters begin among those of all parts.
    behind = tf.cumsum(lengths)
    part_of = tf.repeat(tf.range(tf.shape(starts)[0]), lengths)
    numbers = tf.range(tf.shape(part_of)[0]) - tf.gather(
        behind - lengths, part_of
    )
    first = tf.gather(splits, text_of) + starts
    return tf.raw_ops.UnicodeEncode(
        input_values=tf.gather(codes, tf.gather(first, part_of) + numbers),
        input_splits=tf.concat([[0], behind], 0),
        output_encoding="UTF-8",
    )


def _places(owners, num_rows):
    """For each place of a table the number of its value, from 1; 0 of none."""
    splits = tf.searchsorted(owners, tf.range(num_rows + 1))
    columns = tf.range(tf.shape(owners)[0]) - tf.gather(splits, owners)
    width = tf.maximum(tf.reduce_max(splits[1:] - splits[:-1]), 0)
    return tf.scatter_nd(
        tf.stack([owners, columns], 1),
        tf.range(tf.shape(owners)[0]) + 1,
        tf.stack([num_rows, width]),
    )


def _spread(values, nothing, places):
    """Values at their places, and something where there is none."""
    return tf.gather(
        tf.concat([tf.constant([nothing], values.dtype), values], 0), places
    )


def _where(flags):
    return tf.cast(tf.where(flags)[:, 0], tf.int32)


def _before(values):
    """What stands before each value; -2 before the first."""
    return tf.concat([[-2], values], 0)[:-1]


def _owners(splits, count):
    """The row of each of `count` values that `splits` puts into rows."""
    return tf.searchsorted(splits, tf.range(count), side="right") - 1
