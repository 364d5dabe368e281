"""Texts to word-piece ids inside a TensorFlow graph."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_text

from bvkeras.encoders.word_piece import WordPiece
from bvkeras.serving import character_table as table

# As BERT's code: longer words are unknown, whatever they are.
_MAX_WORD_CHARACTERS = 100
_MAX_CHARACTER_BYTES = 4
_UNKNOWN = "[UNK]"
_SPECIAL = ("[PAD]", _UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
# A blank, so that no word and no special token reaches into the next text.
_END = "\n"


class Pieces(NamedTuple):
    """Word pieces of several texts, one text's after another's.

    Attributes:
        ids: int32 tensor `(pieces,)`.
        row_splits: int32 tensor `(texts + 1,)`. Text `i` has the pieces from
            `row_splits[i]` to, but not including, `row_splits[i + 1]`.
        offsets: int32 tensor `(pieces, 2)`, or None. First character of each
            piece in its text, and the one after its last, in Unicode code
            points.
        continued: bool tensor `(pieces,)`, or None. Whether each goes on with
            the word of the one before it; None where its id tells.
    """

    ids: tf.Tensor
    row_splits: tf.Tensor
    offsets: tf.Tensor | None = None
    continued: tf.Tensor | None = None

    @property
    def lengths(self) -> tf.Tensor:
        """Pieces of each text, `(texts,)`."""
        return self.row_splits[1:] - self.row_splits[:-1]


class TextGraph:
    """Computes in a graph what `WordPiece.encode` computes in Python.

    A table of characters (`character_table`) says what each becomes and where
    words end; tensorflow-text's `FastWordpieceTokenizer` takes words apart.
    Its own way from texts to words gives other ids for some texts: see
    docs/serving.md.

    Bytes that are not UTF-8 are read as U+FFFD, which is dropped.

    Args:
        tokenizer: WordPiece.

    Example:
        graph = TextGraph(encoder.tokenizer)
        pieces = tf.function(graph)(tf.constant(["a text", "another"]))
    """

    def __init__(self, tokenizer: WordPiece):
        characters = table.character_table(**tokenizer.settings)
        self._index = tf.constant(characters.page_of)
        self._pages = tf.constant(characters.pages)
        self._replacements = tf.constant(characters.replacements)
        self._longest = characters.longest
        vocabulary = tokenizer.vocabulary
        self._special = [s for s in _SPECIAL if s in vocabulary]
        self._word_pieces = tensorflow_text.FastWordpieceTokenizer(
            vocabulary,
            max_bytes_per_word=_MAX_WORD_CHARACTERS * _MAX_CHARACTER_BYTES,
            unknown_token=_UNKNOWN,
            no_pretokenization=True,
            token_out_type=tf.int32,
        )

    def tables(self) -> list[np.ndarray]:
        """The constants that every graph of this tokenizer holds."""
        return [
            tensor.numpy()
            for tensor in (
                self._index,
                self._pages,
                self._replacements,
                self._word_pieces._model,
            )
        ]

    def __call__(self, texts: tf.Tensor, offsets: bool = False) -> Pieces:
        """Takes texts apart.

        Args:
            texts: string tensor `(texts,)`, UTF-8.
            offsets: bool. Whether to say where pieces stand in their texts.
                Defaults to `False`.

        Returns:
            Pieces.
        """
        text_splits, codes = tf.raw_ops.UnicodeDecode(
            input=tf.strings.join([texts, _END]),
            input_encoding="UTF-8",
            errors="replace",
            Tsplits=tf.int32,
        )
        values, breaks = self._look_up(codes)
        letters, sources = self._letters(codes, values)
        words = tf.gather(tf.cumsum(tf.cast(breaks, tf.int32)), sources)
        is_first = words != tf.concat([[-1], words], 0)[:-1]
        starts = tf.cast(tf.where(is_first)[:, 0], tf.int32)
        word_splits = tf.concat([starts, tf.shape(letters)], 0)
        is_long = word_splits[1:] - starts > _MAX_WORD_CHARACTERS
        pieces = self._word_pieces.tokenize_with_offsets(
            tf.where(
                is_long,
                _UNKNOWN,
                tf.raw_ops.UnicodeEncode(
                    input_values=letters,
                    input_splits=word_splits,
                    output_encoding="UTF-8",
                ),
            )
        )
        ids, first_bytes, end_bytes = (part.flat_values for part in pieces)
        piece_splits = tf.cast(pieces[0].row_splits, tf.int32)
        # The words of a text are those that begin in it.
        text_words = tf.searchsorted(tf.gather(sources, starts), text_splits)
        row_splits = tf.gather(piece_splits, text_words)
        if not offsets:
            return Pieces(ids, row_splits)
        word_of = _owners(piece_splits, tf.shape(ids)[0])
        places = _piece_letters(
            letters,
            tf.gather(starts, word_of),
            tf.cast(first_bytes, tf.int32),
            tf.cast(end_bytes, tf.int32),
        )
        last = tf.where(
            tf.gather(is_long, word_of),
            tf.gather(word_splits, word_of + 1) - 1,
            places[1],
        )
        text_of = _owners(row_splits, tf.shape(ids)[0])
        text_start = tf.gather(text_splits, text_of)
        first = tf.gather(sources, places[0]) - text_start
        behind = tf.gather(sources, last) + 1 - text_start
        return Pieces(ids, row_splits, tf.stack([first, behind], 1))

    def _look_up(self, codes):
        """Each character's value in the table, and where words break."""
        page = tf.gather(self._index, codes // 256)
        values = tf.gather(self._pages, page * 256 + codes % 256)
        begins, inside, ends = self._special_tokens(codes)
        # They are words as they stand, whatever they are made of.
        values = tf.where(inside, table.ORDINARY, values)
        isolated = values & table.ISOLATED > 0
        behind_isolated = tf.concat([[False], isolated], 0)[:-1]
        breaks = (values & table.SPACE > 0) | isolated | behind_isolated
        return values, breaks | begins | ends

    def _special_tokens(self, codes):
        """Where special tokens that are written in a text begin, lie, end.

        Returns:
            Three bool tensors `(characters,)`; the last is true after them.
        """
        width = max(map(len, self._special))
        padded = tf.concat([codes, tf.zeros([width - 1], tf.int32)], 0)
        num_codes = tf.shape(codes)[0]
        windows = tf.stack(
            [padded[i : i + num_codes] for i in range(width)], axis=1
        )
        # -1 matches every character.
        wanted = tf.constant(
            [
                [*map(ord, token)] + [-1] * (width - len(token))
                for token in self._special
            ]
        )
        same = (windows[:, tf.newaxis, :] == wanted) | (wanted < 0)
        # None begins as another does, or inside another: at most one matches.
        lengths = tf.reduce_sum(
            tf.where(
                tf.reduce_all(same, axis=2),
                tf.constant([len(token) for token in self._special]),
                0,
            ),
            axis=1,
        )
        first = tf.where(lengths > 0)[:, 0]
        end = first + tf.cast(tf.gather(lengths, first), tf.int64)
        shape = tf.shape(codes, tf.int64)
        begins, ends = (
            tf.scatter_nd(
                place[:, tf.newaxis], tf.ones_like(place, tf.int32), shape
            )
            for place in (first, end)
        )
        return begins > 0, tf.cumsum(begins - ends) > 0, ends > 0

    def _letters(self, codes, values):
        """The characters of all words, and which one each came from."""
        lengths = _shifted(values, table.LENGTH_SHIFT) & table.LENGTH_MASK
        places = tf.cast(
            tf.where(tf.sequence_mask(lengths, self._longest)), tf.int32
        )
        sources, numbers = places[:, 0], places[:, 1]
        starts = tf.gather(_shifted(values, table.START_SHIFT), sources)
        letters = tf.where(
            starts > 0,
            tf.gather(
                self._replacements, tf.where(starts > 0, starts + numbers, 0)
            ),
            tf.gather(codes, sources),
        )
        return letters, sources


def _piece_letters(letters, word_starts, first_bytes, end_bytes):
    """First and last letter of each piece, of its bytes within its word."""
    num_bytes = tf.ones_like(letters)
    for first in (0x80, 0x800, 0x10000):
        num_bytes += tf.cast(letters >= first, tf.int32)
    begins = tf.cumsum(num_bytes, exclusive=True)
    word_bytes = tf.gather(begins, word_starts)
    first = tf.searchsorted(begins, word_bytes + first_bytes)
    return first, tf.searchsorted(begins, word_bytes + end_bytes) - 1


def _owners(splits, count):
    """The row of each of `count` values that `splits` puts into rows."""
    return tf.searchsorted(splits, tf.range(count), side="right") - 1


def _shifted(values, bits):
    return tf.bitwise.right_shift(values, bits)
