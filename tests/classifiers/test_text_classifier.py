import numpy as np
import pytest
import tensorflow as tf

import bvkeras
from bvkeras import fileio
from bvkeras.errors import ArgumentError, DataError, RunError
from bvkeras.serving.text_model import TextModel
from tests.classifiers.texts import FAST, LABELS, TEXTS


def test_labels_come_back_as_they_were(classifier):
    assert classifier.labels == ["bad", "good"]
    answers = classifier.predict(TEXTS)
    assert answers.shape == (24,)
    assert set(answers) <= {"bad", "good"}
    probabilities = classifier.predict(TEXTS, probabilities=True)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    best = np.array(classifier.labels)[probabilities.argmax(axis=1)]
    assert best.tolist() == answers.tolist()


def test_scores_are_those_of_the_answers(classifier):
    right = np.mean(classifier.predict(TEXTS) == np.array(LABELS))
    scores = classifier.evaluate(TEXTS, LABELS)
    assert scores["accuracy"] == pytest.approx(right)
    assert "macro_f1" in scores
    # A head that learned nothing would not say both.
    assert right > 0.7


def test_history_has_a_number_a_pass(classifier):
    history = classifier.history.history
    assert len(history["loss"]) == len(history["val_loss"]) == 3
    assert history["loss"][-1] < history["loss"][0]


def test_no_text_gives_no_answer(classifier):
    assert classifier.predict([]).shape == (0,)
    assert classifier.predict([], probabilities=True).shape == (0, 2)


def test_one_text_is_answered_as_among_many(classifier):
    many = classifier.predict(TEXTS, probabilities=True)
    for row in (0, 7):
        one = classifier.predict([TEXTS[row]], probabilities=True)
        np.testing.assert_allclose(one[0], many[row], atol=1e-5)


@pytest.mark.parametrize("save", ["save", "export"])
def test_what_was_saved_answers_the_same(classifier, save, tmp_path):
    expected = classifier.predict(TEXTS, probabilities=True)
    getattr(classifier, save)(tmp_path / "model")
    opened = TextModel.open(tmp_path / "model")
    found = opened.predict(TEXTS)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert found["label"].tolist() == classifier.predict(TEXTS).tolist()
    assert opened.label_names == ("bad", "good")
    if save == "save":
        loaded = bvkeras.load(tmp_path / "model")
        assert isinstance(loaded, bvkeras.TextClassifier)
        again = loaded.predict(TEXTS, probabilities=True)
        np.testing.assert_array_equal(again, expected)
        assert loaded.labels == classifier.labels
        assert loaded.settings == classifier.settings


def test_saving_spares_what_is_no_model(classifier, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="is no saved model"):
        classifier.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.json", lambda path: path.write_text("{}")),
        ("model.json", lambda path: path.write_text("[1]")),
        ("head/head.json", lambda path: path.unlink()),
    ],
)
def test_damaged_model_is_one_line(classifier, tmp_path, name, damage):
    classifier.save(tmp_path / "model")
    damage(tmp_path / "model" / name)
    with pytest.raises(DataError) as caught:
        bvkeras.load(tmp_path / "model")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no saved model"):
        bvkeras.load(tmp_path)


def test_summary_counts_trained_and_all(classifier, capsys):
    classifier.summary()
    printed = capsys.readouterr().out
    head = classifier.task and classifier._model.head.parameters
    assert f"trained parameters:  {head:,}, of the head {head:,}" in printed
    assert "bad, good" in printed


def test_untrained_model_says_so(tiny_bert):
    model = bvkeras.TextClassifier.from_preset(tiny_bert)
    for act in (
        lambda: model.predict(["a"]),
        lambda: model.save("nowhere"),
        model.summary,
    ):
        with pytest.raises(RunError, match="not trained yet"):
            act()


class _Frame(dict):
    """What is used of a DataFrame: columns by name."""

    @property
    def columns(self):
        return list(self)


@pytest.mark.parametrize(
    "container",
    [
        lambda: (np.array(TEXTS), np.array(LABELS)),
        lambda: (np.array(TEXTS, object), tuple(LABELS)),
        lambda: ({"t": TEXTS, "n": list(range(24))}, LABELS),
        lambda: (_Frame(t=TEXTS, topic=LABELS), "topic"),
        lambda: (tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)), None),
        lambda: (
            tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(5),
            None,
        ),
    ],
)
def test_usual_containers_are_read_alike(classifier, container):
    x, y = container()
    expected = classifier.evaluate(TEXTS, LABELS)
    assert classifier.evaluate(x, y) == expected


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ("a text", ["bad"], "x: expected a list of texts, got one str"),
        (["a", 7], ["bad", "good"], "x: row 1 is 7, expected str"),
        (["a", None], ["bad", "good"], "x: row 1 is None"),
        (["a", "b"], ["bad"], "y: expected 2 labels"),
        (["a"], None, "y: expected labels"),
        (["a"], [None], "y: row 0 is None"),
        (["a"], [0.5], r"y: row 0 is 0\.5"),
        (["a"], "label", "y: got the column name 'label', and x is no table"),
        ({"a": [1]}, [1], "x: 0 of its columns a hold texts"),
        ({"a": ["x"]}, "b", "x: has no column 'b', it has a"),
        ((["a"], ["b", "c"]), ["bad"], "as many second texts as first"),
        ([], [], "at least one text"),
        (["a", "b"], ["same", "same"], "at least two classes, got 'same'"),
        (["x", "y", "x"], ["a", "b", "c"], "different in each of 3 rows"),
        (["a", "b"], ["1", 1], "classes of one type, got int and str"),
        (["a", "b"], ["", "x"], "empty name"),
        (["a", "b"], [["x"], "y"], "y: row 1 has one class and row 0 several"),
        (["a", "b"], [[], ()], "at least one label, got none"),
        (["a", "b"], [["x|y"], []], "y: 'x|y' is among several labels"),
        (["a", "b"], [["x", None], []], "y: row 0 is None, expected a class"),
        (["a", "b"], np.eye(2) * 2, "y: row 0 is .*, expected 0 or 1"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(tiny_bert, x, y, message):
    model = bvkeras.TextClassifier.from_preset(tiny_bert)
    with pytest.raises(ArgumentError, match=message) as caught:
        model.fit(x, y)
    assert "\n" not in str(caught.value)


def test_validation_data_without_labels_is_named(tiny_bert):
    model = bvkeras.TextClassifier.from_preset(tiny_bert)
    with pytest.raises(ArgumentError, match="validation_data: expected a pair"):
        model.fit(TEXTS, LABELS, validation_data=TEXTS)


def test_label_that_training_never_saw_is_named(classifier):
    with pytest.raises(ArgumentError, match="y: row 1 is 'ugly'"):
        classifier.evaluate(["a", "b"], ["bad", "ugly"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_training": "half"}, "encoder_training: expected one of"),
        ({"rate": 1}, "rate: no such setting"),
        ({"labels": []}, "labels: expected at least one, got none"),
        ({"labels": ["a", "a"]}, "labels: expected each class once"),
    ],
)
def test_unusable_options_are_named(tiny_bert, options, message):
    with pytest.raises(ArgumentError, match=message):
        bvkeras.TextClassifier.from_preset(tiny_bert, **options)


def test_int_labels_weights_and_a_directory(tiny_bert, tmp_path):
    labels = [int(label == "good") * 5 for label in LABELS]

    def fit(directory, **weights):
        model = bvkeras.TextClassifier.from_preset(
            tiny_bert, **{**FAST, "head_epochs": 1}
        )
        model.fit(TEXTS, labels, directory=directory, **weights)
        return model

    plain = fit(tmp_path / "plain")
    assert plain.labels == [0, 5]
    assert plain.predict(TEXTS).dtype.kind == "i"
    digest = fileio.file_digest(tmp_path / "plain" / "head" / "head.keras")
    # Finished work is read, not done again.
    again = fit(tmp_path / "plain")
    assert digest == fileio.file_digest(
        tmp_path / "plain" / "head" / "head.keras"
    )
    expected = plain.predict(TEXTS, probabilities=True)
    np.testing.assert_array_equal(
        again.predict(TEXTS, probabilities=True), expected
    )
    # A weight of 2 on all is no other weighing of one against another, and a
    # class that counts for nothing is never learned.
    one_class = fit(tmp_path / "one", class_weight={5: 0.0})
    found = one_class.predict(TEXTS, probabilities=True)
    assert found[:, 0].mean() > expected[:, 0].mean()
    rows = fit(
        tmp_path / "rows",
        sample_weight=[float(label == 0) for label in labels],
    )
    np.testing.assert_allclose(
        rows.predict(TEXTS, probabilities=True), found, atol=1e-6
    )
    with pytest.raises(RunError, match="weights"):
        fit(tmp_path / "one")
    with pytest.raises(ArgumentError, match="class_weight: no class 'x'"):
        fit(None, class_weight={"x": 1.0})
    with pytest.raises(ArgumentError, match="sample_weight: expected 24"):
        fit(None, sample_weight=[1.0])


def test_callbacks_hear_of_every_pass_and_may_end_it(tiny_bert):
    import keras

    class Stop(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.events = []

        def on_train_begin(self, logs=None):
            self.events.append("begin")

        def on_epoch_end(self, epoch, logs=None):
            self.events.append(epoch)
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs=None):
            self.events.append("end")

    stop = Stop()
    model = bvkeras.TextClassifier.from_preset(tiny_bert, **FAST)
    history = model.fit(TEXTS, LABELS, callbacks=[stop], epochs=4)
    assert stop.events == ["begin", 0, 1, "end"]
    assert len(history.history["loss"]) == 2
