"""Windows over contexts, and the best span of each, inside a graph."""

from typing import NamedTuple

import tensorflow as tf

from bvkeras.encoders.special_tokens import SpecialTokens
from bvkeras.evaluation.spans.search import MAX_ANSWER_TOKENS, NUM_BEST
from bvkeras.ops.span_logits import MASKED_LOGIT
from bvkeras.serving.packing import Rows
from bvkeras.serving.text_graph import Pieces
from bvkeras.tasks.window_plan import WindowPlan

# Two characters' places in one number, the first in front.
_PLACE = 1 << 31
_LAST_PLACE = tf.int64.max


class Windows(NamedTuple):
    """All windows of a batch of questions, one question's after another's.

    Attributes:
        rows: Rows. The question and the part of the context.
        questions: int32 tensor `(windows,)`. The question each belongs to.
    """

    rows: Rows
    questions: tf.Tensor


def make_windows(
    pieces: Pieces,
    num_questions: tf.Tensor,
    max_tokens: int,
    plan: WindowPlan,
    special_tokens: SpecialTokens,
) -> Windows:
    """The windows that `bvkeras.data.squad_windows.make_windows` makes.

    Args:
        pieces: Pieces. Those of the questions, then those of their contexts.
        num_questions: int32 scalar tensor.
        max_tokens: int. Most tokens of a window.
        plan: WindowPlan.
        special_tokens: SpecialTokens. Those of the tokenizer.
    """
    num_special = special_tokens.count(2)
    first, lengths = pieces.row_splits[:-1], pieces.lengths
    asked = tf.minimum(lengths[:num_questions], plan.question_tokens)
    num_context = lengths[num_questions:]
    room = max_tokens - num_special - asked
    checks = []
    if max_tokens < num_special + plan.question_tokens + 2:
        checks = [
            tf.debugging.Assert(
                tf.reduce_all(room >= 2),
                [
                    "question: too long, expected at most "
                    f"{max_tokens - num_special - 2} word pieces"
                ],
            )
        ]
    with tf.control_dependencies(checks):
        stride = tf.minimum(plan.stride, room // 2)
    # All but the last window begin where something is left after their end.
    counts = (tf.maximum(num_context - room, 0) + stride - 1) // stride + 1
    questions = tf.repeat(tf.range(num_questions), counts)
    numbers = tf.range(tf.shape(questions)[0]) - tf.gather(
        tf.cumsum(counts, exclusive=True), questions
    )
    starts = numbers * tf.gather(stride, questions)
    left = tf.gather(num_context, questions) - starts
    rows = Rows(
        first_a=tf.gather(first, questions),
        length_a=tf.gather(asked, questions),
        first_b=tf.gather(first[num_questions:], questions) + starts,
        length_b=tf.minimum(left, tf.gather(room, questions)),
    )
    return Windows(rows, questions)


def best_spans(
    logits: tf.Tensor,
    windows: Windows,
    offsets: tf.Tensor,
    num_questions: tf.Tensor,
    special_tokens: SpecialTokens,
) -> dict[str, tf.Tensor]:
    """The best span of every question.

    The first of the candidates of `bvkeras.evaluation.spans.search.find_spans`.

    Args:
        logits: float32 tensor `(windows, tokens, 2)`.
        windows: Windows.
        offsets: int32 tensor `(pieces, 2)`. Where pieces stand in their text.
        num_questions: int32 scalar tensor.
        special_tokens: SpecialTokens. Those of the tokenizer.

    Returns:
        dict of tensors `(questions,)`: int32 "start" and "end", first
        character of the span and the one after its last, 0 and 0 if there is
        none; float32 "score", the logits of start and end together, the
        lowest number if there is none; float32 "no_answer_probability", 1 if
        there is none.
    """
    rows = windows.rows
    # Tokens after [CLS] to pieces: the question and what follows it stand
    # between.
    shift = rows.first_b - rows.length_a - len(special_tokens.between)
    scores, characters = _window_spans(logits, shift[:, tf.newaxis], offsets)
    best = tf.math.unsorted_segment_max(
        tf.reduce_max(scores, axis=1), windows.questions, num_questions
    )
    found = best > 2 * MASKED_LOGIT
    # Of equal spans the first in the text.
    is_best = scores == tf.gather(best, windows.questions)[:, tf.newaxis]
    place = tf.math.unsorted_segment_min(
        tf.reduce_min(tf.where(is_best, characters, _LAST_PLACE), axis=1),
        windows.questions,
        num_questions,
    )
    place = tf.where(found, place, 0)
    null = tf.math.unsorted_segment_min(
        tf.reduce_sum(tf.cast(logits[:, 0], tf.float64), axis=1),
        windows.questions,
        num_questions,
    )
    no_answer = tf.where(found, tf.sigmoid(null - best), 1.0)
    return {
        "start": tf.cast(place // _PLACE, tf.int32),
        "end": tf.cast(place % _PLACE, tf.int32),
        "score": tf.cast(best, tf.float32),
        "no_answer_probability": tf.cast(no_answer, tf.float32),
    }


def _window_spans(logits, shift, offsets):
    """Scores of each window's candidates, and their characters as a number.

    Returns:
        float64 and int64 tensors `(windows, candidates)`; twice
        `MASKED_LOGIT`, the lowest score, for what is none.
    """
    # Not [CLS], which is the first. There is at least a [SEP] after it.
    count = tf.minimum(NUM_BEST, tf.shape(logits)[1] - 1)
    (start_logits, starts), (end_logits, ends) = (
        tf.math.top_k(logits[:, 1:, side], count) for side in (0, 1)
    )
    lengths = ends[:, tf.newaxis, :] - starts[:, :, tf.newaxis] + 1
    allowed = (lengths >= 1) & (lengths <= MAX_ANSWER_TOKENS)
    allowed &= (start_logits > MASKED_LOGIT)[:, :, tf.newaxis]
    allowed &= (end_logits > MASKED_LOGIT)[:, tf.newaxis, :]
    start_logits = tf.cast(start_logits, tf.float64)[:, :, tf.newaxis]
    end_logits = tf.cast(end_logits, tf.float64)[:, tf.newaxis, :]
    scores = tf.where(allowed, start_logits + end_logits, 2 * MASKED_LOGIT)
    offsets = tf.cast(tf.concat([offsets, [[0, 0]]], 0), tf.int64)
    last = tf.shape(offsets)[0] - 1
    first_characters, end_characters = (
        tf.gather(offsets[:, side], tf.clip_by_value(places + shift, 0, last))
        for side, places in ((0, starts), (1, ends))
    )
    characters = (
        first_characters[:, :, tf.newaxis] * _PLACE
        + end_characters[:, tf.newaxis, :]
    )
    shape = (tf.shape(logits)[0], count * count)
    return tf.reshape(scores, shape), tf.reshape(characters, shape)
