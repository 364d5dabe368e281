"""Baselines, tables and notes of a span task."""

import dataclasses

import numpy as np
import pytest

from bvkeras.evaluation.spans.baselines import (
    ALWAYS_EMPTY,
    RANDOM_SPAN,
    TYPICAL_SPAN,
    always_empty,
    span_baselines,
)
from bvkeras.evaluation.spans.evaluation import SpanEvaluation
from bvkeras.evaluation.spans.squad_metrics import BestThreshold
from bvkeras.evaluation.spans.tables import (
    source_notes,
    span_tables,
    threshold_note,
)
from tests.data.squad_fixtures import make_question, make_span_examples

WORDS = "b c d e f g h i j k"
QUESTIONS = (
    make_question(WORDS, "b", name="one"),
    make_question(WORDS, "c d e", name="three"),
    make_question(WORDS + " l", name="none"),
    make_question(" ".join(["x"] * 100), name="long"),
)
EXAMPLES = make_span_examples(*QUESTIONS)
TRAIN = make_span_examples(make_question(WORDS, "i j"), split="train")


def evaluation(exact, f1, text_exact, text_f1):
    arrays = [np.array(v, float) for v in (exact, f1, text_exact, text_f1)]
    best = BestThreshold(0.75, 0.5)
    return SpanEvaluation(
        {}, 1.0, None, 0.25, *arrays, best_exact=best, best_f1=best
    )


EVALUATIONS = {
    "encoder": evaluation([1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0], [1] * 4),
    "head": evaluation([1, 0, 1, 1], [1, 0.5, 1, 1], [1, 0, 0, 0], [1] * 4),
}


def tables():
    found = span_tables(EXAMPLES, TRAIN, EVALUATIONS, [("head", "encoder")])
    return {table["title"]: table for table in found}


def row_of(table, name):
    (row,) = (row for row in table["rows"] if row[0] == name)
    return row[1:]


def test_baselines():
    found = span_baselines(EXAMPLES, TRAIN)
    assert list(found) == [ALWAYS_EMPTY, RANDOM_SPAN, TYPICAL_SPAN]
    assert found[ALWAYS_EMPTY][0].tolist() == [0, 0, 1, 1]
    assert always_empty(EXAMPLES) == {"exact": 0.5, "f1": 0.5}
    for name in (RANDOM_SPAN, TYPICAL_SPAN):
        exact, f1 = found[name]
        # They always answer.
        assert exact[2:].tolist() == f1[2:].tolist() == [0, 0]
        assert (f1 >= exact).all()
    # Two words are never the one, nor the three.
    assert found[TYPICAL_SPAN][0].tolist() == [0, 0, 0, 0]
    assert found[TYPICAL_SPAN][1][1] > 0


def test_random_spans_are_equally_likely():
    # Of "b c" there are three spans, each alone a third.
    question = make_question("b c", "b c")
    examples = make_span_examples(
        *(
            dataclasses.replace(question, id=str(number))
            for number in range(200)
        )
    )
    exact, f1 = span_baselines(examples, TRAIN)[RANDOM_SPAN]
    assert exact.mean() == pytest.approx(1 / 3, abs=0.03)
    assert f1.mean() == pytest.approx((1 + 2 * 2 / 3) / 3, abs=0.03)


def test_scores_with_and_without_an_answer():
    table = tables()["Questions with an answer, and without"]
    head = row_of(table, "head")
    assert (head[0], head[2]) == (75.0, 87.5)
    assert head[1] > 0
    assert head[4:] == [50.0, 75.0, 100.0, 50.0, 100.0]
    assert row_of(table, ALWAYS_EMPTY) == [
        *(50.0, head[1] and row_of(table, ALWAYS_EMPTY)[1]),
        *(50.0, row_of(table, ALWAYS_EMPTY)[3]),
        *(0.0, 0.0, 100.0, 0.0, 0.0),
    ]
    assert len(table["columns"]) == len(head) + 1


def test_differences():
    table = tables()["Differences"]
    difference = row_of(table, "head − encoder")
    assert (difference[0], difference[2]) == (25.0, 37.5)
    assert row_of(table, "encoder − always empty")[0] == 0.0
    assert row_of(table, "head − always empty")[0] == 25.0
    assert len(table["rows"]) == 3


def test_breakdowns():
    by_answer = tables()["By the length of the answer"]
    assert by_answer["columns"][2:] == ["encoder", "head"]
    assert row_of(by_answer, "no answer") == [
        2,
        "50.0 / 50.0",
        "100.0 / 100.0",
    ]
    assert row_of(by_answer, "1") == [1, "100.0 / 100.0", "100.0 / 100.0"]
    assert row_of(by_answer, "3 to 5") == [1, "0.0 / 0.0", "0.0 / 50.0"]
    assert [row[0] for row in by_answer["rows"]] == ["no answer", "1", "3 to 5"]
    by_context = tables()["By the length of the context"]
    assert [row[:2] for row in by_context["rows"]] == [
        ["up to 90", 3],
        ["91 to 130", 1],
    ]


def test_thresholds():
    table = tables()["Thresholds"]
    assert row_of(table, "head") == [0.25, 75.0, 0.5, 75.0, 0.5]


def test_note_says_that_a_part_is_not_the_official_set():
    (note,) = source_notes({"validation": EXAMPLES})
    assert "4 questions about 1 articles, from made up." in note
    assert "these are no SQuAD 2.0 dev scores" in note
    skipped = dataclasses.replace(EXAMPLES, skipped=3)
    (note,) = source_notes({"train": skipped})
    assert "3 malformed ones were left out of it" in note
    assert "dev scores" not in note


def test_note_says_where_the_threshold_is_from():
    held_out = threshold_note(TRAIN, "validation", "exact")
    assert "for the best exact match on" in held_out
    assert "articles of the training file (A), on which nothing" in held_out
    swept = threshold_note(None, "validation", "f1")
    assert "chosen on validation itself, for the best F1" in swept
