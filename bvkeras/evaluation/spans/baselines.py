"""What answering without reading scores: three baselines for spans."""

import re

import numpy as np

from bvkeras.data.span_examples import SpanExamples
from bvkeras.evaluation.spans.squad_metrics import answer_scores

_WORD = re.compile(r"\S+")
_MOST_WORDS = 30
_REPEATS = 20
_SEED = 0

ALWAYS_EMPTY = "always empty"
RANDOM_SPAN = "random span"
TYPICAL_SPAN = "random span of typical length"


def span_baselines(
    examples: SpanExamples, train: SpanExamples
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Exact match and F1 of each question, under three baselines.

    - always empty: no question has an answer.
    - random span: all spans of at most 30 words of the context are equally
      likely.
    - random span of typical length: as many words as the first answer of a
      random training question has, at a random place.

    The two random ones always answer; their scores are means over 20 draws,
    from a seed of their own.

    Args:
        examples: SpanExamples. The questions to answer.
        train: SpanExamples. The training split.

    Returns:
        dict of name to two float64 arrays `(questions,)`.
    """
    random = np.random.default_rng(_SEED)
    lengths = np.array(
        [
            len(_WORD.findall(question.answers[0].text))
            for question in train.questions
            if question.answers
        ]
    )
    words = {
        context: [match.span() for match in _WORD.finditer(context)]
        for context in {question.context for question in examples.questions}
    }

    def mean(length_of):
        scores = [
            answer_scores(
                examples.questions,
                [
                    _span(q.context, words[q.context], length_of, random)
                    for q in examples.questions
                ],
            )
            for _ in range(_REPEATS)
        ]
        return tuple(np.mean(scores, axis=0))

    return {
        ALWAYS_EMPTY: answer_scores(examples.questions, [""] * len(examples)),
        RANDOM_SPAN: mean(lambda count: _random_length(count, random)),
        TYPICAL_SPAN: mean(lambda count: min(count, random.choice(lengths))),
    }


def always_empty(examples: SpanExamples) -> dict[str, float]:
    """Exact match and F1 of answering no question, 0 … 1."""
    exact, f1 = answer_scores(examples.questions, [""] * len(examples))
    return {"exact": float(exact.mean()), "f1": float(f1.mean())}


def _random_length(count, random):
    """Of all spans of up to 30 of `count` words, the length of one."""
    lengths = np.arange(1, min(count, _MOST_WORDS) + 1)
    spans = count - lengths + 1
    return int(random.choice(lengths, p=spans / spans.sum()))


def _span(context, words, length_of, random):
    if not words:
        return ""
    length = length_of(len(words))
    first = random.integers(len(words) - length + 1)
    return context[words[first][0] : words[first + length - 1][1]]
