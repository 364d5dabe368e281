"""`TextClassifier` where a text has any number of labels."""

import numpy as np
import pytest
import tensorflow as tf

import bvkeras
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.serving.text_model import TextModel
from tests.classifiers.texts import FAST, TEXTS

# The first word gives one label, the number of words another.
LABELS = [["good"] * (i % 2) + ["long"] * (i % 4 > 1) for i in range(24)]
MATRIX = np.array([[i % 2, i % 4 > 1] for i in range(24)], int)


@pytest.fixture(scope="module")
def model(tiny_bert):
    model = bvkeras.TextClassifier.from_preset(
        tiny_bert, name="traits", **{**FAST, "head_epochs": 12}
    )
    model.fit(TEXTS, LABELS, validation_data=(TEXTS[:6], LABELS[:6]))
    return model


def test_each_label_is_learned_by_itself(model):
    assert model.labels == ["good", "long"]
    assert model.task.metrics == ("micro_f1", "macro_f1", "subset_accuracy")
    probabilities = model.predict(TEXTS, probabilities=True)
    assert probabilities.shape == (24, 2)
    assert model.predict(TEXTS) == [
        tuple(np.array(model.labels)[row >= 0.5].tolist())
        for row in probabilities
    ]
    assert {(), ("good", "long")} & set(model.predict(TEXTS))
    scores = model.evaluate(TEXTS, LABELS)
    assert scores == compute_metrics(
        model.task.metrics, MATRIX, probabilities >= 0.5
    )
    assert scores["micro_f1"] > 0.8
    assert model.predict([]) == []


@pytest.mark.parametrize(
    "labels",
    [
        [set(row) for row in LABELS],
        [np.array(row, object) for row in LABELS],
        dict(zip(("good", "long"), MATRIX.T, strict=True)),
        MATRIX,
        MATRIX.astype(bool),
        tf.data.Dataset.from_tensor_slices((TEXTS, MATRIX)),
        tf.data.Dataset.from_tensor_slices((TEXTS, MATRIX)).batch(5),
    ],
)
def test_usual_containers_are_read_alike(model, labels):
    expected = model.evaluate(TEXTS, LABELS)
    if isinstance(labels, tf.data.Dataset):
        assert model.evaluate(labels) == expected
    else:
        assert model.evaluate(TEXTS, labels) == expected


@pytest.mark.parametrize("save", ["save", "export"])
def test_what_was_saved_answers_the_same(model, save, tmp_path):
    getattr(model, save)(tmp_path / "model")
    opened = TextModel.open(tmp_path / "model")
    assert opened.kind == "multilabel"
    found = opened.predict(TEXTS)
    np.testing.assert_allclose(
        found["probabilities"],
        model.predict(TEXTS, probabilities=True),
        atol=1e-6,
    )
    assert found["labels"].tolist() == [
        "|".join(labels) for labels in model.predict(TEXTS)
    ]
    if save == "save":
        loaded = bvkeras.load(tmp_path / "model")
        assert loaded.predict(TEXTS) == model.predict(TEXTS)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["good"], ["bad"]], "y: row 1 is 'bad', expected one of good, long"),
        (["good", "long"], "y: expected several labels a text, as in training"),
        ({"good": [1, 2]}, r"y\['good'\]: row 1 is 2, expected 0 or 1"),
        (np.eye(3)[:2], "y: row 0 has 3 columns, expected 2"),
    ],
)
def test_labels_that_training_never_saw_are_named(model, y, message):
    with pytest.raises(ArgumentError, match=message):
        model.evaluate(["a", "b"], y)


@pytest.mark.full
def test_one_label_of_a_column_fine_tuned(tiny_bert):
    model = bvkeras.TextClassifier.from_preset(
        tiny_bert,
        encoder_training="fine_tuned",
        learning_rate=1e-3,
        **{**FAST, "head_epochs": 1},
    )
    with pytest.raises(ArgumentError, match="class_weight: expected one class"):
        model.fit(TEXTS, MATRIX[:, :1], class_weight={0: 2.0})
    model.fit(TEXTS, MATRIX[:, :1], epochs=1, sample_weight=[1.0] * 24)
    assert model.labels == [0]
    assert set(model.predict(TEXTS)) <= {(), (0,)}
