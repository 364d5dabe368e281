"""Exact match and F1 of SQuAD 2.0, and the best thresholds of no answer.

The rules are those of the official evaluation script, restated:

- Two texts are compared after `normalize_answer`.
- Exact match is 1 where they are equal. F1 is that of their words, counted
  with repetition; where one of them has no word it is 1 if both have none.
- A question's golds are its answers that have a word left; without one, the
  only gold is the empty text. The best score over golds counts.
- A question whose `na_prob` is above the threshold counts as answered by
  nothing: it scores 1 if it has no answer, else 0.

Scores here lie in 0 … 1; the script prints them times 100.

Reference:
    Rajpurkar, Jia and Liang 2018, "Know What You Don't Know: Unanswerable
    Questions for SQuAD".
"""

import collections
import re
import string
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bvkeras.data.span_question import SpanQuestion
from bvkeras.errors import ArgumentError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class BestThreshold(NamedTuple):
    """The threshold that scores best, and how well.

    Attributes:
        score: float. Mean score over all questions, 0 … 1.
        threshold: float. A `na_prob`; above it is no answer.
    """

    score: float
    threshold: float


def normalize_answer(text: str) -> str:
    """What of an answer is compared.

    Lower case, without ASCII punctuation, without the words a, an and the,
    words one blank apart.
    """
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def answer_scores(
    questions: Sequence[SpanQuestion], texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores each question's text against its golds.

    Args:
        questions: sequence of n `SpanQuestion`.
        texts: sequence of n str. The answers given, empty for none.

    Returns:
        float64 arrays `(n,)`: exact match, 0 or 1, and F1, 0 … 1.

    Raises:
        ArgumentError: there is not one text a question.
    """
    if len(questions) != len(texts):
        raise ArgumentError(
            f"texts: received {len(texts)} for {len(questions)} questions; "
            "expected one a question"
        )
    exact, f1 = np.zeros(len(texts)), np.zeros(len(texts))
    for row, (question, text) in enumerate(zip(questions, texts, strict=True)):
        given = normalize_answer(text)
        golds = _golds(question)
        exact[row] = given in golds
        f1[row] = exact[row] or max(_f1(given, gold) for gold in golds)
    return exact, f1


def with_threshold(
    scores: np.ndarray,
    na_probs: np.ndarray,
    has_answer: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """Scores where no answer is given to questions above a threshold.

    Args:
        scores: float array `(n,)`. Exact match or F1 of the texts.
        na_probs: float array `(n,)`. How likely there is no answer.
        has_answer: bool array `(n,)`. Whether there is one.
        threshold: float. `na_prob` strictly above it is no answer.

    Returns:
        float64 array `(n,)`.
    """
    return np.where(na_probs > threshold, ~has_answer, scores)


def best_threshold(
    scores: np.ndarray,
    na_probs: np.ndarray,
    has_answer: np.ndarray,
    has_text: np.ndarray,
) -> BestThreshold:
    """The threshold with the best mean score, as the official script finds it.

    It begins with no answer to any question and gives the answers one by one,
    the lowest `na_prob` first: a question with an answer adds its score, one
    without takes a point off if a text is given. The first place with the
    highest sum is taken. (Of questions with the same `na_prob` only some may
    then be counted as answered.)

    Args:
        scores: float array `(n,)`. Exact match or F1 of the texts.
        na_probs: float array `(n,)`. How likely there is no answer.
        has_answer: bool array `(n,)`. Whether there is one.
        has_text: bool array `(n,)`. Whether a text is given.

    Returns:
        BestThreshold; threshold 0 if no answer at all is best.
    """
    order = np.argsort(na_probs, kind="stable")
    gains = np.where(has_answer, scores, -has_text.astype(np.float64))[order]
    # Summed from that start, one by one, as the script does: sums that are
    # equal in its rounding have to be so here, or another place is the first.
    sums = np.cumsum(np.concatenate([[float(np.sum(~has_answer))], gains]))
    best = int(np.argmax(sums))
    threshold = na_probs[order[best - 1]] if best else 0.0
    return BestThreshold(float(sums[best]) / len(scores), float(threshold))


def official_scores(
    exact: np.ndarray, f1: np.ndarray, has_answer: np.ndarray
) -> dict[str, float | int]:
    """The scores the official script prints, by its names, times 100.

    Args:
        exact: float array `(n,)`. Exact match of each question.
        f1: float array `(n,)`.
        has_answer: bool array `(n,)`.

    Returns:
        dict: `exact`, `f1`, `total`, and the same of the questions with an
        answer (`HasAns_…`) and without (`NoAns_…`), where there are any.
    """
    scores: dict[str, float | int] = {}
    for prefix, rows in (
        ("", np.ones_like(has_answer)),
        ("HasAns_", has_answer),
        ("NoAns_", ~has_answer),
    ):
        if rows.any():
            scores[f"{prefix}exact"] = 100 * float(exact[rows].mean())
            scores[f"{prefix}f1"] = 100 * float(f1[rows].mean())
            scores[f"{prefix}total"] = int(rows.sum())
    return scores


def _golds(question: SpanQuestion) -> list[str]:
    """The normalised golds, each once."""
    golds = {normalize_answer(answer.text) for answer in question.answers}
    return sorted(golds - {""}) or [""]


def _f1(given: str, gold: str) -> float:
    given_words, gold_words = given.split(), gold.split()
    if not given_words or not gold_words:
        return float(given_words == gold_words)
    common = collections.Counter(given_words) & collections.Counter(gold_words)
    count = common.total()
    if not count:
        return 0.0
    precision, recall = count / len(given_words), count / len(gold_words)
    return 2 * precision * recall / (precision + recall)
