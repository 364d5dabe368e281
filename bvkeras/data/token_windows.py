"""Sentences as windows of tokens, tags of words as labels of tokens.

A sentence longer than a window is cut into several that overlap, `[CLS] part
of the sentence [SEP]`. Where two overlap, each token is labelled, and
answered, in the one that shows more of what stands on its poorer side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bvkeras.data.tagged_sentence import TaggedSentence
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.errors import ArgumentError
from bvkeras.tasks.tag_scheme import inside

# The label of a token that is neither learned nor scored.
UNSCORED = -1

# A window has this part of the next one.
_OVERLAP = 4
# Between a sentence's id and the number of its window.
_SEPARATOR = "#"


class TokenWindow(NamedTuple):
    """A part of a sentence's tokens.

    Attributes:
        start: int. Its first token.
        stop: int. The one after its last.
        first: int. The first token that is answered here.
        last: int. The one after the last such.
    """

    start: int
    stop: int
    first: int
    last: int


def token_windows(num_tokens: int, room: int) -> list[TokenWindow]:
    """The windows over a sentence.

    Args:
        num_tokens: int. Tokens of the sentence; of none there is one window.
        room: int. Most of them in a window.

    Returns:
        list of TokenWindow. Each token is answered in one of them: of two
        that have it, in the one whose nearer border is farther away, where
        the sentence's own beginning and end are none.
    """
    overlap, stride = window_steps(room)
    starts = range(0, max(num_tokens - overlap, 1), stride)
    firsts = [start + (overlap + 1) // 2 for start in starts]
    firsts[0] = 0
    return [
        TokenWindow(start, min(start + room, num_tokens), first, last)
        for start, first, last in zip(
            starts, firsts, [*firsts[1:], num_tokens], strict=True
        )
    ]


def window_steps(room: int) -> tuple[int, int]:
    """How far windows overlap, and how far one begins after another.

    Args:
        room: int. Most tokens of a sentence in a window.
    """
    overlap = room // _OVERLAP
    return overlap, room - overlap


def window_sentence(window_id: str) -> str:
    """The id of the sentence that a window belongs to."""
    return window_id.rpartition(_SEPARATOR)[0]


def make_token_windows(
    sentences: Sequence[TaggedSentence],
    tokenizer: Tokenizer,
    max_tokens: int,
    label_names: Sequence[str],
) -> TokenizedExamples:
    """Tokenises sentences, cuts them into windows, and labels the tokens.

    The first piece of a word has the word's tag. Where BERT's tokenizer makes
    several words of it, as of `U.S.`, the first piece of each further one has
    the tag that goes on with it. All other pieces, special tokens, and the
    tokens that another window answers have `UNSCORED`. A word of which no
    piece is left has no label.

    Args:
        sentences: sequence of `TaggedSentence`.
        tokenizer: Tokenizer.
        max_tokens: int. Most tokens of a window, special ones counted.
        label_names: sequence of str. All tags; a label is an index into it.

    Returns:
        TokenizedExamples, the windows of each sentence in order: ids
        `<sentence id>#<number>`, labels int64 `(windows, tokens)`, as wide as
        the longest, and offsets in the sentence's `text`.

    Raises:
        ArgumentError: `max_tokens` has no room for a token.
    """
    num_special = tokenizer.special_tokens.count(1)
    room = max_tokens - num_special
    if room < 1:
        raise ArgumentError(
            f"max_tokens: expected at least {num_special + 1}, got {max_tokens}"
        )
    numbers = {name: number for number, name in enumerate(label_names)}
    encoded = tokenizer.encode_words([s.text for s in sentences])
    rows, ids, labels, all_offsets = [], [], [], []
    for sentence, (pieces, offsets, continued) in zip(
        sentences, encoded, strict=True
    ):
        of_pieces = _piece_labels(sentence, offsets, continued, numbers)
        windows = token_windows(len(pieces), room)
        for number, (start, stop, first, last) in enumerate(windows):
            rows.append(tokenizer.row(pieces[start:stop]))
            ids.append(f"{sentence.id}{_SEPARATOR}{number}")
            answered = np.full(stop - start + num_special, UNSCORED)
            answered[first - start + 1 : last - start + 1] = of_pieces[
                first:last
            ]
            labels.append(answered)
            all_offsets.append(tokenizer.row_offsets(offsets[start:stop]))
    return TokenizedExamples(
        rows, tokenizer.pad_id, ids, _padded(labels), all_offsets
    )


def piece_words(sentence: TaggedSentence, offsets: np.ndarray) -> np.ndarray:
    """The word that each token is of, int64 `(tokens,)`; special ones -1.

    Args:
        sentence: `TaggedSentence`.
        offsets: int array `(tokens, 2)`, in its `text`.
    """
    return np.searchsorted(sentence.starts, offsets[:, 0], side="right") - 1


def _piece_labels(sentence, offsets, is_continued, numbers):
    """The label of each piece of a sentence, `UNSCORED` of some."""
    words = piece_words(sentence, offsets)
    tags = np.array([numbers[tag] for tag in sentence.tags])
    goes_on = np.array([numbers[inside(tag)] for tag in sentence.tags])
    is_first = np.diff(words, prepend=-1) > 0
    return np.where(
        is_first,
        tags[words],
        np.where(is_continued, UNSCORED, goes_on[words]),
    )


def _padded(labels):
    width = max(map(len, labels), default=0)
    padded = np.full((len(labels), width), UNSCORED, np.int64)
    for row, values in zip(padded, labels, strict=True):
        row[: len(values)] = values
    return padded
