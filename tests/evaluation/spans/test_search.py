"""The best spans, against a search of every pair of tokens."""

import numpy as np
import pytest

from bvkeras.evaluation.spans.search import find_spans
from bvkeras.ops.span_logits import MASKED_LOGIT

# Windows of two questions: [CLS], a question, a context, [SEP].
QUESTIONS = np.array([0, 0, 1, 2, 1])
LENGTHS = (14, 9, 12, 5, 14)
FIRST = (3, 4, 2, 4, 3)


def made_windows(seed=0):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(5, 14, 2)).astype(np.float32)
    offsets = []
    for row, (length, first) in enumerate(zip(LENGTHS, FIRST, strict=True)):
        mask = np.arange(14)
        mask = (mask >= first) & (mask < length - 1)
        mask[0] = True
        logits[row, ~mask] = MASKED_LOGIT
        starts = np.arange(length) * 3 + row
        places = np.stack([starts, starts + 2], axis=1)
        places[[0, first - 1, length - 1]] = -1
        offsets.append(places)
    return logits, offsets


def every_span(logits, offsets, question, max_answer_tokens):
    """All allowed spans of a question: the best score of each."""
    spans = {}
    for row in np.flatnonzero(question == QUESTIONS):
        tokens = [
            t
            for t in range(1, LENGTHS[row])
            if logits[row, t, 0] > MASKED_LOGIT
        ]
        for first in tokens:
            for last in tokens:
                if first <= last < first + max_answer_tokens:
                    key = (offsets[row][first, 0], offsets[row][last, 1])
                    score = float(logits[row, first, 0]) + float(
                        logits[row, last, 1]
                    )
                    spans[key] = max(score, spans.get(key, -np.inf))
    return sorted(spans.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("max_answer_tokens", [1, 3, 30])
@pytest.mark.parametrize("num_best", [14, 20])
@pytest.mark.parametrize("seed", range(4))
def test_spans_are_the_best_of_all(seed, num_best, max_answer_tokens):
    logits, offsets = made_windows(seed)
    found = find_spans(
        logits, offsets, QUESTIONS, 3, num_best, max_answer_tokens
    )
    for question in range(3):
        expected = every_span(logits, offsets, question, max_answer_tokens)
        expected = expected[:num_best]
        count = len(expected)
        np.testing.assert_allclose(
            found.scores[question, :count], [score for _, score in expected]
        )
        assert found.characters[question, :count].tolist() == [
            list(key) for key, _ in expected
        ]
        assert (found.scores[question, count:] == -np.inf).all()
        sums = found.start_logits[question] + found.end_logits[question]
        np.testing.assert_allclose(
            sums[:count], found.scores[question, :count], rtol=1e-6
        )


def test_null_score_is_that_of_the_lowest_window():
    logits, offsets = made_windows()
    found = find_spans(logits, offsets, QUESTIONS, 3)
    sums = logits[:, 0].sum(1)
    expected = [sums[:2].min(), min(sums[2], sums[4]), sums[3]]
    np.testing.assert_allclose(found.null_scores, expected, rtol=1e-6)
    np.testing.assert_allclose(
        found.null_logits.sum(1), found.null_scores, rtol=1e-6
    )


def test_na_prob_grows_with_the_null_score():
    logits, offsets = made_windows()
    logits[0, 0], logits[1, 0] = 40.0, 50.0
    found = find_spans(logits, offsets, QUESTIONS, 3)
    difference = found.null_scores - found.scores[:, 0]
    assert (np.argsort(difference) == np.argsort(found.na_probs)).all()
    with np.errstate(invalid="ignore"):
        expected = 1 / (1 + np.exp(-difference))
    np.testing.assert_allclose(found.na_probs, expected)
    # The last question's window has a context without a token.
    assert found.scores[2, 0] == -np.inf
    assert found.na_probs[2] == 1


def test_the_same_characters_of_two_windows_count_once():
    logits = np.full((2, 5, 2), MASKED_LOGIT, np.float32)
    logits[:, [0, 2, 3]] = 0.0
    logits[1, 2] = 1.0
    places = np.array([[-1, -1], [-1, -1], [0, 3], [4, 7], [-1, -1]])
    found = find_spans(logits, [places, places], np.zeros(2, int), 1)
    assert found.characters[0, :3].tolist() == [[0, 3], [0, 7], [4, 7]]
    assert found.scores[0, :4].tolist() == [2.0, 1.0, 0.0, -np.inf]


def test_only_the_best_starts_and_ends_are_combined():
    # The best start and the best end make no span; 1 of each is looked at.
    logits = np.zeros((1, 5, 2), np.float32)
    logits[0, 3, 0] = logits[0, 1, 1] = 5.0
    places = np.array([[-1, -1], [0, 1], [2, 3], [4, 5], [6, 7]])
    found = find_spans(logits, [places], np.zeros(1, int), 1, num_best=1)
    assert found.scores.tolist() == [[-np.inf]]


def test_many_windows_are_searched_part_by_part(monkeypatch):
    logits, offsets = made_windows()
    whole = find_spans(logits, offsets, QUESTIONS, 3)
    monkeypatch.setattr("bvkeras.evaluation.spans.search._WINDOWS_AT_ONCE", 2)
    parts = find_spans(logits, offsets, QUESTIONS, 3)
    np.testing.assert_array_equal(parts.characters, whole.characters)
    np.testing.assert_array_equal(parts.scores, whole.scores)
