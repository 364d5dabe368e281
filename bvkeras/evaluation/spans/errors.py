"""Where two systems' answers to the same questions are right and wrong."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bvkeras.data.span_question import SpanQuestion
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.bootstrap import bootstrap_interval
from bvkeras.evaluation.error_analysis import right_together
from bvkeras.evaluation.spans.lengths import (
    answer_length_parts,
    context_length_parts,
)
from bvkeras.evaluation.spans.squad_metrics import (
    answer_scores,
    normalize_answer,
)
from bvkeras.evaluation.word_counts import count_words


@dataclasses.dataclass(frozen=True)
class SpanErrors:
    """What one system answers right and wrong; scores lie in 0 … 1.

    Attributes:
        name: str.
        scores: dict of `"all"`, `"HasAns"` and `"NoAns"`, as far as there are
            such questions, to dict of `questions` (int), `exact` and `f1`.
        by_answer: dict of the words of the first answer (`"3 to 5"`, or
            `"no answer"`) to a dict as in `scores`.
        by_context: dict of the words of the context to a dict as in
            `scores`.
        empty_share: float. Questions answered by nothing, of all. An answer
            is nothing if no word of it counts for the scores.
        empty_right: int. Of these, the questions that have no answer.
        empty_wrong: int. Of these, the questions that have an answer.
        words_right: dict of `"context"` and `"question"` to the mean words of
            those of the questions answered exactly; `None` if there are none.
        words_wrong: dict. The same of the other questions.
    """

    name: str
    scores: dict[str, dict[str, float]]
    by_answer: dict[str, dict[str, float]]
    by_context: dict[str, dict[str, float]]
    empty_share: float
    empty_right: int
    empty_wrong: int
    words_right: dict[str, float | None]
    words_wrong: dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class SpanErrorAnalysis:
    """Two systems on the same questions.

    Attributes:
        questions: int.
        paragraphs: int. Different contexts.
        systems: list of two `SpanErrors`.
        pair: dict. `agreement` (share of questions with the same answer, as
            scores compare texts), `both_right`, `only_first`, `only_second`,
            `both_wrong` (questions, by exact match), `overlap` (both right,
            share of all), `p_value` (McNemar's test of exact match, exact: it
            takes the questions as independent of each other),
            `exact_difference` and `f1_difference` (means of second - first),
            `exact_interval` and `f1_interval` (95%, paired, from a bootstrap
            over paragraphs; `None` with only one).
    """

    questions: int
    paragraphs: int
    systems: list[SpanErrors]
    pair: dict[str, float | int | tuple[float, float] | None]


def analyze_span_errors(
    questions: Sequence[SpanQuestion],
    first: Sequence[str],
    second: Sequence[str],
    names: Sequence[str] = ("first", "second"),
) -> SpanErrorAnalysis:
    """Compares two systems' answers, question by question.

    Args:
        questions: sequence of n `SpanQuestion`.
        first: sequence of n str. One system's answers; empty for none.
        second: sequence of n str. The other's.
        names: sequence of two str.

    Returns:
        SpanErrorAnalysis.

    Raises:
        ArgumentError: there is no question, or not one answer for each.
    """
    if not questions:
        raise ArgumentError("questions: expected at least one, got none")
    scored = [answer_scores(questions, texts) for texts in (first, second)]
    groups = [question.context for question in questions]
    paragraphs = len(set(groups))
    rights = [exact == 1 for exact, _ in scored]
    pair = {
        "agreement": float(1 - _differ(first, second).mean()),
        **right_together(*rights),
    }
    for name, one, other in zip(("exact", "f1"), *scored, strict=True):
        pair[f"{name}_difference"] = float((other - one).mean())
        pair[f"{name}_interval"] = (
            bootstrap_interval(other - one, groups) if paragraphs > 1 else None
        )
    return SpanErrorAnalysis(
        questions=len(questions),
        paragraphs=paragraphs,
        systems=[
            _span_errors(name, questions, texts, *scores)
            for name, texts, scores in zip(
                names, (first, second), scored, strict=True
            )
        ],
        pair=pair,
    )


def differing_questions(
    first: Sequence[str], second: Sequence[str], count: int, seed: int = 0
) -> np.ndarray:
    """A random choice of the questions to which two systems answer otherwise.

    Args:
        first: sequence of n str. One system's answers.
        second: sequence of n str. The other's.
        count: int. At most so many questions.
        seed: int. Seed of the choice.

    Returns:
        int array of positions, in order.

    Raises:
        ArgumentError: `count` is below 0.
    """
    if count < 0:
        raise ArgumentError(f"count: received {count}, expected at least 0")
    (rows,) = np.nonzero(_differ(first, second))
    chosen = np.random.default_rng(seed).permutation(rows)[:count]
    return np.sort(chosen)


def _span_errors(name, questions, texts, exact, f1) -> SpanErrors:
    has_answer = np.array([bool(q.answers) for q in questions])
    everything = np.ones_like(has_answer)
    parts = {"all": everything, "HasAns": has_answer, "NoAns": ~has_answer}
    right = exact == 1
    empty = np.array([not normalize_answer(text) for text in texts])
    words = {
        "context": count_words([question.context for question in questions]),
        "question": count_words([question.question for question in questions]),
    }
    return SpanErrors(
        name=name,
        scores=_scores(parts, exact, f1),
        by_answer=_scores(answer_length_parts(questions), exact, f1),
        by_context=_scores(context_length_parts(questions), exact, f1),
        empty_share=float(empty.mean()),
        empty_right=int((empty & right).sum()),
        empty_wrong=int((empty & ~right).sum()),
        words_right=_means(words, right),
        words_wrong=_means(words, ~right),
    )


def _scores(
    parts: Mapping[str, np.ndarray], exact: np.ndarray, f1: np.ndarray
) -> dict[str, dict[str, float]]:
    return {
        name: {
            "questions": int(rows.sum()),
            "exact": float(exact[rows].mean()),
            "f1": float(f1[rows].mean()),
        }
        for name, rows in parts.items()
        if rows.any()
    }


def _means(words, rows):
    return {
        name: float(counts[rows].mean()) if rows.any() else None
        for name, counts in words.items()
    }


def _differ(first, second) -> np.ndarray:
    return np.array(
        [
            normalize_answer(one) != normalize_answer(other)
            for one, other in zip(first, second, strict=True)
        ]
    )
