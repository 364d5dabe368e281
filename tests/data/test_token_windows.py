import itertools

import numpy as np
import pytest

from bvkeras.data.tagged_sentence import TaggedSentence
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.token_windows import (
    UNSCORED,
    make_token_windows,
    token_windows,
    window_sentence,
)
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import ArgumentError, DataError

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
TOKENIZER = WordPiece(
    [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "ada", "##m", "in", "u", "."),
        *("s", "paris", "東", "京", "##ing", "🙂", "לונדון"),
    ]
)


def windows(sentences, max_tokens=16):
    return make_token_windows(sentences, TOKENIZER, max_tokens, LABELS)


def sentence(words, tags, name="a"):
    return TaggedSentence(name, tuple(words.split()), tuple(tags.split()))


@pytest.mark.parametrize(
    ("count", "room"),
    [*itertools.product((0, 1, 5, 13, 29, 64), (1, 2, 3, 7, 8))],
)
def test_each_token_is_answered_where_it_has_most_context(count, room):
    found = token_windows(count, room)
    assert found[-1].stop == count
    assert all(w.stop - w.start <= room for w in found)
    answered = [t for w in found for t in range(w.first, w.last)]
    assert answered == list(range(count))

    def context(window, token):
        left = token - window.start if window.start else count
        right = window.stop - 1 - token if window.stop < count else count
        return min(left, right)

    for window in found:
        for token in range(window.first, window.last):
            best = max(
                context(w, token) for w in found if w.start <= token < w.stop
            )
            assert context(window, token) == best


def test_the_first_piece_of_a_word_has_its_tag():
    made = windows([sentence("Adam in U.S.", "B-PER O B-LOC")])
    # [CLS] ada ##m in u . s . [SEP]
    assert made.labels.tolist() == [[-1, 3, -1, 0, 1, 2, 2, 2, -1]]
    assert made.offsets[0].tolist() == [
        *([-1, -1], [0, 3], [3, 4], [5, 7], [8, 9], [9, 10]),
        *([10, 11], [11, 12], [-1, -1]),
    ]


def test_words_of_any_script():
    made = windows([sentence("東京 🙂 לונדון", "B-LOC O B-LOC")])
    assert made.labels.tolist() == [[-1, 1, 2, 0, 1, -1]]


def test_a_word_without_a_piece_has_no_label():
    # A zero-width space is dropped by the tokenizer.
    made = windows([sentence("\u200b in \u200b Paris", "B-LOC O O B-LOC")])
    assert made.labels.tolist() == [[-1, 0, 1, -1]]
    alone = windows([sentence("\u200b", "B-LOC")])
    assert alone.labels.tolist() == [[-1, -1]]


def test_a_long_sentence_has_several_windows():
    made = windows(
        [
            sentence("in " * 30, "O " * 30, "x#1"),
            sentence("Paris", "B-LOC", "b"),
        ],
        max_tokens=10,
    )
    names = [window_sentence(name) for name in made.ids]
    assert names == ["x#1"] * (len(names) - 1) + ["b"]
    assert made.labels.shape == (len(names), 10)
    assert (made.labels != UNSCORED).sum() == 31
    assert [len(row) for row, _ in made.rows][-1] == 3


def test_no_room_is_refused():
    with pytest.raises(ArgumentError, match="at least 3, got 2"):
        windows([sentence("in", "O")], 2)


def examples(*sentences, labels=LABELS):
    return TokenExamples("t", "train", sentences, labels)


def test_examples_that_are_none_are_named():
    good = sentence("in Paris", "O B-LOC")
    for bad, message in (
        (sentence("in Paris", "O", "b"), "'b': has 2 words and 1 tags"),
        (sentence("", "", "b"), "'b': has 0 words"),
        (sentence("in", "B-X", "b"), "'b': has the tag 'B-X', expected"),
        (sentence("in", "O"), "1 different ids"),
    ):
        with pytest.raises(DataError, match=message):
            examples(good, bad)


def test_examples_are_told_apart_and_limited():
    made = examples(
        *(sentence("in Paris", "O B-LOC", f"{n}") for n in range(9))
    )
    assert len(made.limit(4)) == 4
    assert made.take([8, 0]).ids == ("8", "0")
    assert made.digest != made.take(range(8)).digest
    other = examples(*made.sentences, labels=("O", "B-LOC"))
    assert other.digest != made.digest
    tokens = made.tokenized(TOKENIZER, 8, False)
    assert np.array_equal(tokens.labels[0], [-1, 0, 1, -1])
