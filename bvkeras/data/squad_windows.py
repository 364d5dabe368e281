"""Questions and contexts as windows of tokens, answers as spans of tokens.

A context longer than a window is cut into several that overlap, each after
the whole question: `[CLS] question [SEP] part of the context [SEP]`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bvkeras.data.span_question import SpanQuestion
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.errors import ArgumentError
from bvkeras.tasks.window_plan import WindowPlan

# Between a question's id and the number of its window.
_SEPARATOR = "#"


class TokenSpan(NamedTuple):
    """Some characters of a text as tokens, and what tokens cannot say.

    Attributes:
        first: int. The first token that has one of the characters.
        last: int. The last one.
        before: int. Characters from the beginning of the first token to the
            first of the characters: above 0 where they begin inside the
            token, below where the tokenizer dropped characters in front.
        after: int. Characters from the end of the last token to the end of
            the characters.
    """

    first: int
    last: int
    before: int
    after: int

    @property
    def is_exact(self) -> bool:
        """Whether the tokens have these characters and no others."""
        return not self.before and not self.after


def span_tokens(offsets: np.ndarray, start: int, end: int) -> TokenSpan | None:
    """The tokens of `text[start:end]`.

    Args:
        offsets: int array `(tokens, 2)`. Where the tokens stand in the text.
        start: int. The first character.
        end: int. The character after the last.

    Returns:
        TokenSpan; None if no token has one of the characters, as of those
        that the tokenizer drops.
    """
    touched = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < end))
    if not touched.size:
        return None
    first, last = int(touched[0]), int(touched[-1])
    before = start - int(offsets[first, 0])
    return TokenSpan(first, last, before, end - int(offsets[last, 1]))


def span_characters(offsets: np.ndarray, span: TokenSpan) -> tuple[int, int]:
    """The characters that `span_tokens` made a span of.

    Args:
        offsets: int array `(tokens, 2)`. As given to `span_tokens`.
        span: TokenSpan.

    Returns:
        The first character and the one after the last.
    """
    return (
        int(offsets[span.first, 0]) + span.before,
        int(offsets[span.last, 1]) + span.after,
    )


def window_starts(num_tokens: int, room: int, stride: int) -> range:
    """First tokens of the windows over a context.

    Args:
        num_tokens: int. Tokens of the context.
        room: int. Most of them in a window.
        stride: int. Tokens from one window to the next; at most half of
            `room` are taken, so that windows always overlap.

    Returns:
        range. The last window is the first that reaches the end.
    """
    stride = min(stride, room // 2)
    return range(0, max(num_tokens - room, 0) + stride, stride)


def window_question(window_id: str) -> str:
    """The id of the question that a window belongs to."""
    return window_id.rpartition(_SEPARATOR)[0]


def make_windows(
    questions: Sequence[SpanQuestion],
    tokenizer: Tokenizer,
    max_tokens: int,
    plan: WindowPlan,
) -> TokenizedExamples:
    """Tokenises questions and contexts, and cuts them into windows.

    A window's label is the first and the last token of the question's first
    answer, counted from the window's [CLS]; of a window that does not hold
    all of it, and of a question without an answer, 0 and 0: [CLS].

    Args:
        questions: sequence of `SpanQuestion`.
        tokenizer: Tokenizer.
        max_tokens: int. Most tokens of a window, special ones counted.
        plan: `WindowPlan`.

    Returns:
        TokenizedExamples, the windows of each question in order: ids
        `<question id>#<number>`, labels `(windows, 2)`, offsets, contexts.

    Raises:
        ArgumentError: `max_tokens` has no room for a question and two tokens
            of its context; `plan` has a number below 1.
    """
    _check(plan)
    texts = list(dict.fromkeys(question.context for question in questions))
    contexts = dict(zip(texts, tokenizer.encode_words(texts), strict=True))
    num_special = tokenizer.special_tokens.count(2)
    asked = tokenizer.encode_words([q.question for q in questions])
    rows, ids, labels, all_offsets, firsts = [], [], [], [], []
    for question, (question_ids, question_offsets, _) in zip(
        questions, asked, strict=True
    ):
        question_ids = question_ids[: plan.question_tokens]
        question_offsets = question_offsets[: plan.question_tokens]
        context_ids, context_offsets, _ = contexts[question.context]
        # After the context stands one special token.
        first = len(question_ids) + num_special - 1
        room = _room(max_tokens, len(question_ids), num_special)
        answer = _first_answer(question, context_offsets)
        starts = window_starts(len(context_ids), room, plan.stride)
        for number, start in enumerate(starts):
            part = slice(start, start + room)
            rows.append(tokenizer.row(question_ids, context_ids[part]))
            ids.append(f"{question.id}{_SEPARATOR}{number}")
            labels.append(_label(answer, start, len(context_ids[part]), first))
            all_offsets.append(
                tokenizer.row_offsets(question_offsets, context_offsets[part])
            )
            firsts.append(first)
    return TokenizedExamples(
        rows,
        tokenizer.pad_id,
        ids,
        np.array(labels, np.int64).reshape(-1, 2),
        all_offsets,
        np.array(firsts, np.int64),
    )


def _check(plan):
    for name in ("stride", "question_tokens"):
        if getattr(plan, name) < 1:
            raise ArgumentError(
                f"{name}: expected at least 1, got {getattr(plan, name)}"
            )


def _room(max_tokens, num_question_tokens, num_special):
    """How much of a context has room in a window."""
    room = max_tokens - num_question_tokens - num_special
    if room < 2:
        raise ArgumentError(
            f"max_tokens: expected at least {max_tokens - room + 2}, for a "
            f"question of {num_question_tokens} tokens, {num_special} "
            f"special ones and two of the context, got {max_tokens}"
        )
    return room


def _first_answer(question, offsets):
    if not question.answers:
        return None
    answer = question.answers[0]
    return span_tokens(offsets, answer.start, answer.end)


def _label(answer, start, count, first):
    """First and last token of the answer in the window, or [CLS]."""
    if answer and start <= answer.first and answer.last < start + count:
        return answer.first - start + first, answer.last - start + first
    return 0, 0
