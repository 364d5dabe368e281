"""Windows and best spans in the graph against those of the evaluation."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from bvkeras.data.squad_windows import make_windows
from bvkeras.evaluation.spans.answers import (
    WindowLogits,
    best_texts,
    find_candidates,
)
from bvkeras.ops.span_logits import MASKED_LOGIT, answer_positions
from bvkeras.serving import packing, span_graph
from bvkeras.serving.text_pieces import text_pieces
from bvkeras.tasks.window_plan import WindowPlan
from tests.awkward_tokenizers import TOKENIZERS
from tests.data.squad_fixtures import make_question, make_span_examples
from tests.serving.texts import TEXTS

PLANS = ((WindowPlan(8, 10), 32), (WindowPlan(3, 4), 12), (WindowPlan(), 384))


class Both:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self._text_graph = text_pieces(tokenizer)

    def check(self, pairs, plan, max_tokens, seed, levels):
        """Compares windows, answers, places and probabilities.

        Args:
            levels: int. How many different logits there are; few make ties.
        """
        questions = [
            make_question(context, question=question, name=f"q{i}")
            for i, (question, context) in enumerate(pairs)
        ]
        examples = make_span_examples(*questions, windows=plan)
        expected = make_windows(
            examples.questions, self.tokenizer, max_tokens, plan
        )
        batch = expected.batch(np.arange(len(expected)))
        count = tf.constant(len(pairs))
        pieces = self._text_graph(
            [*(q for q, _ in pairs), *(c for _, c in pairs)], offsets=True
        )
        windows = span_graph.make_windows(
            pieces, count, max_tokens, plan, self.tokenizer.special_tokens
        )
        found = packing.pack(pieces.ids, windows.rows, self.tokenizer)
        for name, array in batch.items():
            np.testing.assert_array_equal(found[name], array)

        random = np.random.default_rng(seed)
        shape = (*batch["token_ids"].shape, 2)
        logits = random.integers(levels, size=shape).astype(np.float32)
        positions = answer_positions(tf.constant(batch["segment_ids"]))
        logits = np.where(positions[:, :, None], logits, MASKED_LOGIT)
        logits = logits.astype(np.float32)
        spans = span_graph.best_spans(
            tf.constant(logits),
            windows,
            pieces.offsets,
            count,
            self.tokenizer.special_tokens,
        )
        candidates = find_candidates(
            examples, WindowLogits(expected.ids, logits, expected.offsets)
        )
        places = np.stack([spans["start"], spans["end"]], axis=1)
        np.testing.assert_array_equal(places, candidates.characters[:, 0])
        np.testing.assert_allclose(
            spans["no_answer_probability"], candidates.na_probs, atol=1e-7
        )
        best = candidates.scores[:, 0]
        lowest = np.finfo(np.float32).min
        np.testing.assert_array_equal(
            spans["score"], np.where(np.isfinite(best), best, lowest)
        )
        return [c[s:e] for (_, c), (s, e) in zip(pairs, places, strict=True)], (
            best_texts(examples, candidates)
        )


@pytest.fixture(scope="module")
def both(encoder):
    return Both(encoder.tokenizer)


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(
    pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4),
    times=st.integers(1, 6),
    plan=st.sampled_from(PLANS),
    seed=st.integers(0, 1000),
)
def test_any_questions(both, pairs, times, plan, seed):
    pairs = [(question, context * times) for question, context in pairs]
    # More logits than places: with equal ones numpy's choice of the best
    # twenty is any.
    answers, expected = both.check(pairs, *plan, seed, levels=1 << 20)
    assert answers == expected


@pytest.mark.parametrize("seed", range(4))
def test_of_equal_spans_the_first_in_the_text_is_taken(both, seed):
    # Not more than twenty places in a window: all are candidates.
    pairs = [("the cat", "cat sat dog " * 9), ("", "mat " * 20), ("a", "")]
    answers, expected = both.check(pairs, WindowPlan(3, 4), 12, seed, levels=2)
    assert answers == expected
    assert answers[2] == ""


def test_windows_of_another_tokenizer():
    both = Both(TOKENIZERS["roberta"])
    pairs = [("the cat?", "the cat sat on the mat, Zoë. " * 3), ("", "a")]
    for plan, max_tokens in (*PLANS, (WindowPlan(4, 5), 14)):
        answers, expected = both.check(pairs, plan, max_tokens, 0, 1 << 20)
        assert answers == expected


def test_answer_has_at_most_thirty_tokens(both):
    pairs = [("the", "a b c d e f g h " * 10)]
    for seed in range(3):
        both.check(pairs, WindowPlan(), 128, seed, levels=1 << 20)


def test_long_question_without_room_is_refused(both):
    pieces = both._text_graph(["a " * 20, "the cat"], offsets=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="question: too"):
        span_graph.make_windows(
            pieces,
            tf.constant(1),
            20,
            WindowPlan(8, 16),
            both.tokenizer.special_tokens,
        )
