"""Questions and contexts in, answers out."""

import sys

import numpy as np
import pytest

import bvkeras
from bvkeras.classifiers.answers import read_questions
from bvkeras.classifiers.containers import Texts
from bvkeras.errors import ArgumentError, RunError
from bvkeras.serving import TextModel
from tests.tiny_runs import forbid

_FAST = {"max_tokens": 32, "head_epochs": 20, "head_learning_rate": 3e-2}


def _made_up():
    """Questions for the digits of a context, or for what is not there.

    One context is longer than a window; emoji stand in front of answers.
    """
    random = np.random.default_rng(5)
    questions, contexts, answers = [], [], []
    for i in range(24):
        words = random.choice(list("abcuz"), 3 + 40 * (i == 4)).tolist()
        number = " ".join(random.choice(list("3579"), random.integers(1, 3)))
        words.insert(random.integers(len(words)), number)
        context = "😀 " + " ".join(words)
        questions.append("X ?" if i % 4 == 3 else "7 ?")
        contexts.append(context)
        start = context.index(number)
        answers.append(
            {"text": [], "answer_start": []}
            if i % 4 == 3
            else {"text": [number], "answer_start": [start]}
        )
    return questions, contexts, answers


QUESTIONS, CONTEXTS, ANSWERS = _made_up()
X = (QUESTIONS, CONTEXTS)


@pytest.fixture(scope="module")
def model(tiny_bert):
    model = bvkeras.AnswerFinder.from_preset(tiny_bert, **_FAST)
    history = model.fit(X, ANSWERS, validation_data=(X, ANSWERS))
    assert set(history.history) == {"loss", "val_loss"}
    losses = history.history["loss"]
    assert losses[-1] < losses[0] / 2
    return model


def test_answers_are_parts_of_their_contexts(model):
    found = model.predict(X)
    assert len(found) == 24
    assert model.threshold == 0.5
    answered = [i for i, answer in enumerate(found) if answer is not None]
    assert answered
    for i in answered:
        text, start, end, score, no_answer = found[i]
        assert CONTEXTS[i][start:end] == text
        assert np.isfinite(score)
        assert 0 <= no_answer <= model.threshold
    assert model.predict(([], [])) == []


def test_scores_are_those_of_the_answers(model):
    scores = model.evaluate(X, ANSWERS)
    golds = ["".join(answer["text"]) for answer in ANSWERS]
    given = [answer.text if answer else "" for answer in model.predict(X)]
    exact = np.mean([a == b for a, b in zip(given, golds, strict=True)])
    assert scores["exact"] == pytest.approx(exact)
    assert scores["f1"] >= scores["exact"] > 0.5
    flat = (
        [(answer["text"] or [None])[0] for answer in ANSWERS],
        [(answer["answer_start"] or [None])[0] for answer in ANSWERS],
    )
    table = {"id": ["x"] * 24, "question": QUESTIONS, "context": CONTEXTS}
    for x, y in (
        ({**table, "answers": ANSWERS}, None),
        ({**table, "a": flat[0], "s": flat[1]}, ("a", "s")),
        (X, {"text": flat[0], "start": flat[1]}),
        (X, list(zip(*flat, strict=True))),
    ):
        assert model.evaluate(x, y) == scores


def test_threshold_decides_what_is_answered(model):
    kept = model.threshold
    try:
        model.threshold = 0.0
        assert model.predict(X) == [None] * 24
        scores = model.evaluate(X, ANSWERS)
        assert scores == {"exact": 0.25, "f1": 0.25}
        model.threshold = 1.0
        assert None not in model.predict(X)
    finally:
        model.threshold = kept


@pytest.mark.parametrize("save", ["save", "export"])
def test_what_was_saved_answers_the_same(model, save, tmp_path):
    getattr(model, save)(tmp_path / "model")
    opened = TextModel.open(tmp_path / "model").predict(*X)
    for i, answer in enumerate(model.predict(X)):
        if answer is not None:
            assert opened["answer"][i] == answer.text
            assert opened["start"][i] == answer.start
    if save == "save":
        loaded = bvkeras.load(tmp_path / "model")
        assert isinstance(loaded, bvkeras.AnswerFinder)
        assert loaded.threshold == 0.5
        assert loaded.predict(X) == model.predict(X)
        assert loaded.task == model.task


def test_summary_names_the_threshold(model, capsys):
    model.summary()
    printed = capsys.readouterr().out
    assert "questions, span" in printed
    assert "answers, none above 0.5" in printed


@pytest.mark.full
def test_fine_tuned_in_a_folder_goes_on_there(tiny_bert, tmp_path, monkeypatch):
    def fit():
        model = bvkeras.AnswerFinder.from_preset(
            tiny_bert,
            encoder_training="fine_tuned",
            **{**_FAST, "head_epochs": 1},
        )
        # Each has an answer: each is answered.
        x = [column[:3] for column in X]
        model.fit(
            tuple(x), ANSWERS[:3], epochs=1, directory=tmp_path / "finder"
        )
        assert model.threshold == 1.0
        return model.predict(X)

    first = fit()
    with monkeypatch.context() as patch:
        forbid(patch, sys.modules["bvkeras.training.finetune"], "_check_finite")
        assert fit() == first
    model = bvkeras.AnswerFinder.from_preset(tiny_bert, **_FAST)
    with pytest.raises(RunError):
        model.fit(X, ANSWERS, directory=tmp_path / "finder")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"text": "cat", "answer_start": 3}, "the context has it at 2"),
        ({"text": "dog", "answer_start": 3}, "has 'at c' there|and it nowhere"),
        ("dog", "y: row 1: the context has 'dog' 0 times"),
        ("c", "y: row 1: the context has 'c' 2 times, expected once"),
        (("cat", 2.5), "y: row 1: an answer's start is 2.5"),
        ((7, 2), "y: row 1: an answer is 7, expected str"),
        ({"words": "cat"}, "y: row 1 has words, expected text"),
        ({"text": ["cat"], "answer_start": [1, 2]}, "as many starts"),
        (7, "y: row 1 is 7, expected an answer's text and start"),
    ],
)
def test_wrong_answer_is_named(answer, message):
    texts = Texts([["?", "?"], ["a cat", "a cat c"]], None)
    with pytest.raises(ArgumentError, match=message):
        read_questions(texts, [None, answer])


@pytest.mark.parametrize(
    "cell", [None, "", [], {}, float("nan"), (None, None), {"text": []}]
)
def test_no_answer_is_written_in_many_ways(cell):
    texts = Texts([["?"], ["a cat"]], None)
    assert read_questions(texts, [cell])[0].answers == ()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (QUESTIONS, ANSWERS, "x: expected questions and contexts"),
        (X, ANSWERS[:3], "y: expected 24 answers, one a question, got 3"),
        (X, [None] * 24, "y: none of 24 questions has an answer"),
        (X, None, "y: expected answers, one a question, got none"),
        ({"question": ["a"]}, None, "x: has no column 'context'"),
        (
            {"question": ["a"], "context": ["a"]},
            None,
            "x: has no column 'answers'",
        ),
    ],
)
def test_wrong_input_is_one_line(tiny_bert, x, y, message):
    model = bvkeras.AnswerFinder.from_preset(tiny_bert, **_FAST)
    with pytest.raises(ArgumentError, match=message):
        model.fit(x, y)


def test_weights_are_refused(tiny_bert):
    model = bvkeras.AnswerFinder.from_preset(tiny_bert, **_FAST)
    with pytest.raises(ArgumentError, match="sample_weight: expected none"):
        model.fit(X, ANSWERS, sample_weight=[1.0] * 24)
    with pytest.raises(ArgumentError, match="threshold: expected a number"):
        bvkeras.AnswerFinder.from_preset(tiny_bert, threshold=2)
    with pytest.raises(RunError):
        model.predict(X)
