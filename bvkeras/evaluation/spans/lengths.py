"""Questions sorted by how long their answer and their context are."""

from collections.abc import Sequence

import numpy as np

from bvkeras.data.span_question import SpanQuestion
from bvkeras.evaluation.word_counts import count_words

_ANSWER_WORDS = (
    ("1", 1, 1),
    ("2", 2, 2),
    ("3 to 5", 3, 5),
    ("6 and more", 6, None),
)
_CONTEXT_WORDS = (
    ("up to 90", 0, 90),
    ("91 to 130", 91, 130),
    ("131 to 180", 131, 180),
    ("181 and more", 181, None),
)


def answer_length_parts(
    questions: Sequence[SpanQuestion],
) -> dict[str, np.ndarray]:
    """Questions without an answer, and by the words of the first answer.

    Args:
        questions: sequence of n `SpanQuestion`.

    Returns:
        dict of a part's name to a bool array `(n,)`: which questions are in
        it. Parts without a question are left out.
    """
    has_answer = np.array([bool(q.answers) for q in questions], bool)
    words = count_words(
        [q.answers[0].text if q.answers else "" for q in questions]
    )
    parts = {"no answer": ~has_answer}
    for name, *bounds in _ANSWER_WORDS:
        parts[name] = has_answer & _between(words, *bounds)
    return _with_questions(parts)


def context_length_parts(
    questions: Sequence[SpanQuestion],
) -> dict[str, np.ndarray]:
    """Questions by the words of the context; see `answer_length_parts`."""
    words = count_words([question.context for question in questions])
    return _with_questions(
        {name: _between(words, *bounds) for name, *bounds in _CONTEXT_WORDS}
    )


def _with_questions(parts):
    return {name: rows for name, rows in parts.items() if rows.any()}


def _between(values, low, high):
    return (values >= low) & (values <= (np.inf if high is None else high))
