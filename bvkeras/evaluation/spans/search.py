"""From logits of start and end to each question's best spans of text."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bvkeras.ops.span_logits import MASKED_LOGIT

MAX_ANSWER_TOKENS = 30
NUM_BEST = 20
_WINDOWS_AT_ONCE = 512


@dataclasses.dataclass(frozen=True)
class SpanCandidates:
    """The best spans of every question, and the score of no answer.

    Attributes:
        scores: float64 array `(questions, n)`. Logit of start and of end
            together, the highest first; minus infinity where there are fewer.
        start_logits: float32 array `(questions, n)`.
        end_logits: float32 array `(questions, n)`.
        characters: int64 array `(questions, n, 2)`. First character of the
            context and the one after the last.
        null_scores: float64 array `(questions,)`. The two logits of [CLS]
            together, of the window where that is lowest.
        null_logits: float32 array `(questions, 2)`. Those logits.
    """

    scores: np.ndarray
    start_logits: np.ndarray
    end_logits: np.ndarray
    characters: np.ndarray
    null_scores: np.ndarray
    null_logits: np.ndarray

    @property
    def na_probs(self) -> np.ndarray:
        """How likely no answer is against the best span, `(questions,)`.

        `1 / (1 + exp(best - null))`: it grows with the difference of null
        score and best score, and is above 1/2 where that is above 0. 1 where
        there is no span.
        """
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(self.scores[:, 0] - self.null_scores))


def find_spans(
    logits: np.ndarray,
    offsets: Sequence[np.ndarray],
    questions: np.ndarray,
    num_questions: int,
    num_best: int = NUM_BEST,
    max_answer_tokens: int = MAX_ANSWER_TOKENS,
) -> SpanCandidates:
    """The spans with the highest sums of start and end logit.

    As in BERT's code: in each window the `num_best` best starts and the
    `num_best` best ends are combined; a span ends where it starts or after,
    has at most `max_answer_tokens` tokens, and neither end is masked or is
    [CLS]. Of a question's windows the best spans together count; the same
    characters found in two windows count once.

    Args:
        logits: float32 array `(windows, tokens, 2)`, with `MASKED_LOGIT` where
            no answer can be and after a window's end.
        offsets: sequence of int arrays `(tokens, 2)`, one a window. Where its
            tokens stand in their texts.
        questions: int array `(windows,)`. The question each belongs to.
        num_questions: int. Every question has a window.
        num_best: int. Spans kept of a question. Defaults to `20`.
        max_answer_tokens: int. Defaults to `30`.
    """
    parts = [
        _window_spans(
            logits[i : i + _WINDOWS_AT_ONCE],
            offsets[i : i + _WINDOWS_AT_ONCE],
            num_best,
            max_answer_tokens,
        )
        for i in range(0, len(logits), _WINDOWS_AT_ONCE)
    ]
    scores, places, characters = map(np.concatenate, zip(*parts, strict=True))
    of_question = np.repeat(questions, scores.shape[1])
    windows = np.repeat(np.arange(len(logits)), scores.shape[1])
    flat = scores.ravel()
    places = places.reshape(-1, 2)
    characters = characters.reshape(-1, 2)
    # Of the same characters of a question the best comes first, and stays.
    order = np.lexsort((-flat, characters[:, 1], characters[:, 0], of_question))
    order = order[np.isfinite(flat[order])]
    keys = np.column_stack([of_question[order], characters[order]])
    order = order[np.r_[True, (keys[1:] != keys[:-1]).any(1)][: len(order)]]
    # Equal scores stay in the order of the text.
    order = order[np.lexsort((-flat[order], of_question[order]))]
    owners = of_question[order]
    ranks = np.arange(len(order)) - np.searchsorted(owners, owners)
    order, ranks = order[ranks < num_best], ranks[ranks < num_best]
    owners = of_question[order]
    shape = (num_questions, num_best)
    best = SpanCandidates(
        np.full(shape, -np.inf),
        np.full(shape, MASKED_LOGIT, np.float32),
        np.full(shape, MASKED_LOGIT, np.float32),
        np.zeros((*shape, 2), np.int64),
        *_null(logits, questions, num_questions),
    )
    best.scores[owners, ranks] = flat[order]
    first, last = places[order].T
    best.start_logits[owners, ranks] = logits[windows[order], first, 0]
    best.end_logits[owners, ranks] = logits[windows[order], last, 1]
    best.characters[owners, ranks] = characters[order]
    return best


def _null(logits, questions, num_questions):
    """Null scores and their logits, of the lowest window of each question."""
    window_scores = logits[:, 0].astype(np.float64).sum(1)
    order = np.lexsort((window_scores, questions))
    lowest = order[np.searchsorted(questions[order], np.arange(num_questions))]
    return window_scores[lowest], logits[lowest, 0]


def _window_spans(logits, offsets, num_best, max_answer_tokens):
    """Of each window the best spans: scores, tokens, characters.

    Returns:
        float64 `(windows, n)`, minus infinity where there are fewer; int64
        `(windows, n, 2)` twice.
    """
    # Not [CLS], which is the first.
    starts, ends = (
        _highest(logits[:, 1:, side], num_best) + 1 for side in (0, 1)
    )
    rows = np.arange(len(logits))[:, None]
    start_logits = logits[rows, starts, 0].astype(np.float64)
    end_logits = logits[rows, ends, 1].astype(np.float64)
    lengths = ends[:, None, :] - starts[:, :, None] + 1
    allowed = (lengths >= 1) & (lengths <= max_answer_tokens)
    allowed &= (start_logits > MASKED_LOGIT)[:, :, None]
    allowed &= (end_logits > MASKED_LOGIT)[:, None, :]
    sums = start_logits[:, :, None] + end_logits[:, None, :]
    sums = np.where(allowed, sums, -np.inf).reshape(len(logits), -1)
    chosen = _highest(sums, num_best)
    scores = sums[rows, chosen]
    first = starts[rows, chosen // ends.shape[1]]
    last = ends[rows, chosen % ends.shape[1]]
    padded = np.zeros((len(logits), logits.shape[1], 2), np.int64)
    for row, places in enumerate(offsets):
        padded[row, : len(places)] = places
    characters = np.stack(
        [padded[rows, first, 0], padded[rows, last, 1]], axis=-1
    )
    return scores, np.stack([first, last], axis=-1), characters


def _highest(values, count):
    """Places of the highest `count` values of each row, in their order."""
    if values.shape[1] <= count:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.sort(np.argpartition(values, -count, axis=1)[:, -count:], axis=1)
