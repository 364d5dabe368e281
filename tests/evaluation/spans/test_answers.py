"""Answers to a split's questions: files, scores, thresholds."""

import dataclasses
import json
import time

import numpy as np
import pytest

from bvkeras.errors import ArgumentError, RunError
from bvkeras.evaluation.spans.answers import (
    WindowLogits,
    best_texts,
    evaluate_spans,
    find_candidates,
)
from bvkeras.ops.span_logits import MASKED_LOGIT
from tests.data.squad_fixtures import make_question, make_span_examples

CONTEXT = "Zoë sat 🐈 on the mat"
QUESTIONS = (
    make_question(CONTEXT, "Zoë", "Zoë sat", name="has"),
    make_question(CONTEXT, name="has not"),
    make_question(CONTEXT, "the mat", name="long"),
    make_question("", name="empty"),
)
EXAMPLES = make_span_examples(*QUESTIONS)
# [CLS] [SEP] the six words [SEP].
OFFSETS = np.array(
    [
        *([-1, -1], [-1, -1], [0, 3], [4, 7], [8, 9], [10, 12], [13, 16]),
        *([17, 20], [-1, -1]),
    ]
)
SETTINGS = {"head": "h"}


def window(null, spans):
    """Logits with the highest sums at some `(first, last, score)`."""
    logits = np.full((9, 2), MASKED_LOGIT, np.float32)
    logits[2:8] = -9.0
    logits[0] = null / 2
    for first, last, score in spans:
        logits[first, 0] = logits[last, 1] = score / 2
    return logits


def made_logits():
    empty = np.full((9, 2), MASKED_LOGIT, np.float32)
    empty[0] = 1.0
    return WindowLogits(
        ["has#0", "has not#0", "long#0", "long#1", "empty#0"],
        np.stack(
            [
                window(1.0, [(2, 2, 4.0)]),
                window(2.0, [(3, 3, 1.0)]),
                window(9.0, [(6, 6, 2.0)]),
                window(0.0, [(6, 7, 4.0)]),
                empty,
            ]
        ),
        [OFFSETS] * 4 + [OFFSETS[[0, 1, 8]]],
    )


def evaluate(directory, threshold=0.5, predict=made_logits, **settings):
    return evaluate_spans(
        EXAMPLES, directory, {**SETTINGS, **settings}, predict, threshold
    )


def read(directory, name):
    path = directory / "validation" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_texts_are_taken_from_the_context():
    candidates = find_candidates(EXAMPLES, made_logits())
    texts = best_texts(EXAMPLES, candidates)
    assert texts == ["Zoë", "sat", "the mat", ""]


def test_files_have_the_official_layouts(tmp_path):
    result = evaluate(tmp_path)
    assert read(tmp_path, "predictions") == {
        "has": "Zoë",
        "has not": "",
        "long": "the mat",
        "empty": "",
    }
    assert read(tmp_path, "texts")["has not"] == "sat"
    na_probs = read(tmp_path, "na_prob")
    assert list(na_probs) == list(EXAMPLES.ids)
    assert na_probs["has"] == pytest.approx(1 / (1 + np.exp(3.0)))
    # Of two windows the lower null score, against the best span of both.
    assert na_probs["long"] == pytest.approx(1 / (1 + np.exp(4.0)))
    assert na_probs["empty"] == 1
    nbest = read(tmp_path, "nbest")
    assert list(nbest) == list(EXAMPLES.ids)
    for entries in nbest.values():
        assert sum(e["probability"] for e in entries) == pytest.approx(1)
        sums = [e["start_logit"] + e["end_logit"] for e in entries]
        assert sums == sorted(sums, reverse=True)
        assert [e["text"] for e in entries].count("") == 1
        for entry in entries:
            assert list(entry) == [
                *("text", "probability", "start_logit", "end_logit"),
            ]
    assert [entry["text"] for entry in nbest["has"]][:2] == ["Zoë", ""]
    assert nbest["empty"][0]["text"] == ""
    assert result.predictions_path == tmp_path / "validation/predictions.json"


def test_scores_with_the_threshold_and_without(tmp_path):
    result = evaluate(tmp_path)
    assert result.exact.tolist() == [1, 1, 1, 1]
    assert result.text_exact.tolist() == [1, 0, 1, 1]
    assert result.metrics == {"exact": 1.0, "f1": 1.0}
    scores = read(tmp_path, "scores")
    assert scores["threshold"] == result.threshold == 0.5
    assert scores["scores"]["HasAns_total"] == 2
    assert scores["scores"]["NoAns_exact"] == 100
    assert scores["scores"]["best_exact"] == 100


def test_low_threshold_answers_nothing(tmp_path):
    result = evaluate(tmp_path, threshold=0.0)
    assert result.exact.tolist() == [0, 1, 0, 1]
    assert set(read(tmp_path, "predictions").values()) == {""}


@pytest.mark.parametrize(("metric", "margin"), [("exact", 4.0), ("f1", 3.0)])
def test_threshold_is_chosen_on_these_questions(tmp_path, metric, margin):
    def one_answer_too_long():
        windows = made_logits()
        windows.logits[0] = window(1.0, [(2, 4, 4.0)])
        return windows

    result = evaluate(tmp_path, metric, one_answer_too_long)
    best = getattr(result, f"best_{metric}")
    assert result.threshold == best.threshold
    assert result.threshold == pytest.approx(1 / (1 + np.exp(margin)))
    assert result.metrics[metric] == best.score
    assert read(tmp_path, "scores")["settings"]["threshold"] == metric
    # A question right at it is answered: only above it there is no answer.
    (name,) = (
        name
        for name, na_prob in read(tmp_path, "na_prob").items()
        if na_prob == result.threshold
    )
    assert read(tmp_path, "predictions")[name]


def test_second_evaluation_is_read(tmp_path):
    first = evaluate(tmp_path)
    second = evaluate(tmp_path, predict=None)
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(
            getattr(second, field.name), getattr(first, field.name)
        )


@pytest.mark.parametrize(
    "name", ["predictions", "texts", "na_prob", "nbest", "scores"]
)
def test_deleted_file_is_made_again(tmp_path, name):
    evaluate(tmp_path)
    before = read(tmp_path, name)
    (tmp_path / "validation" / f"{name}.json").unlink()
    evaluate(tmp_path)
    if name == "scores":
        before["seconds"] = read(tmp_path, name)["seconds"]
    assert read(tmp_path, name) == before


def test_other_settings_are_refused(tmp_path):
    evaluate(tmp_path)
    with pytest.raises(RunError, match="was made with head = "):
        evaluate(tmp_path, head="other")
    with pytest.raises(RunError, match=r"was made with threshold = 0\.5"):
        evaluate(tmp_path, threshold=0.25)


@pytest.mark.parametrize(
    ("ids", "name"),
    [
        (["has#0", "has not#0", "long#0", "long#1", "x#0"], "'empty'"),
        (["has#0", "has#1", "long#0", "long#1", "empty#0"], "'has not'"),
    ],
)
def test_windows_of_other_questions_are_refused(ids, name):
    with pytest.raises(ArgumentError, match=f"such as {name}"):
        find_candidates(EXAMPLES, made_logits()._replace(ids=ids))


def test_four_thousand_questions_take_seconds(tmp_path):
    count, tokens = 4_000, 200
    context = " ".join(f"word{number}" for number in range(tokens - 3))
    words = np.cumsum([0, *(len(word) + 1 for word in context.split())])
    offsets = np.full((tokens, 2), -1)
    offsets[2:-1] = np.stack([words[:-1], words[1:] - 1], axis=1)
    question = make_question(context, "word7", "word7 word8", "word3")
    examples = make_span_examples(
        *(
            dataclasses.replace(question, id=f"q{number}")
            for number in range(count)
        )
    )
    logits = np.random.default_rng(0).normal(size=(count, tokens, 2))
    logits = logits.astype(np.float32)
    logits[:, [1, -1]] = MASKED_LOGIT
    windows = WindowLogits(
        [f"{name}#0" for name in examples.ids], logits, [offsets] * count
    )
    # Of this process alone, whatever else the machine is doing.
    began = time.process_time()
    evaluate_spans(examples, tmp_path, SETTINGS, lambda: windows, "f1")
    # 1 to 3 of the processors seen; one question after the other takes 24.
    assert time.process_time() - began < 6
