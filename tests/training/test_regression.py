import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bvkeras import tasks
from bvkeras.cache import memory
from bvkeras.cache.convert import convert_cache
from bvkeras.errors import ArgumentError, CacheError, RunError
from bvkeras.fileio import read_json
from bvkeras.models.linear_probe import LinearProbe
from bvkeras.training import head as head_module
from bvkeras.training import penalized_regression, regression
from bvkeras.training.head import TrainedHead, train_head
from bvkeras.training.penalized_regression import (
    NUM_FITS,
    fit_labels,
    fit_regression,
)
from bvkeras.training.regression import train_regression
from tests.tiny_runs import CLASSES, SCORES, fail_at_call, forbid


class Bar:
    """Counts what a progress bar is moved by."""

    def __init__(self):
        self.done = 0

    def advance(self, units=1):
        self.done += units


@pytest.fixture(scope="module")
def trained(classes_cache, tmp_path_factory):
    """A finished regression; do not change it."""
    directory = tmp_path_factory.mktemp("regression") / "run"
    train_regression(CLASSES, classes_cache, directory, seed=3)
    return directory


def means_of(cache):
    """The mean hidden states, written out in float64, `(rows, features)`."""
    batch = cache.to_numpy("float32")
    return np.stack(
        [
            states[:length].astype(np.float64).mean(axis=0).ravel()
            for states, length in zip(
                batch["hidden_states"], batch["length"], strict=True
            )
        ]
    )


def fitted(features, labels, num_classes, seed=0):
    bar = Bar()
    found = fit_regression(features.copy(), labels, num_classes, seed, bar)
    assert bar.done == NUM_FITS
    return found


def made_up(rows, classes, layers=3, width=5):
    """Features of any center and scale, and labels that hang on some."""
    random = np.random.default_rng(1)
    features = random.normal(size=(rows, layers, width))
    noise = random.normal(size=(rows, max(classes, 2)))
    labels = (features[:, 0, : max(classes, 2)] + noise).argmax(axis=1)
    features *= random.uniform(0.1, 30, size=(layers, width))
    return features + random.normal(size=(layers, width)), labels


def test_each_label_is_fitted_as_if_it_were_alone():
    features, classes = made_up(40, 3)
    # The last one no row has.
    labels = np.stack([classes == 0, classes < 0], axis=1)
    bar = Bar()
    found = fit_labels(features.copy(), labels.astype(np.float32), 0, bar)
    assert bar.done == 2 * NUM_FITS
    for place, column in enumerate(labels.T):
        alone = fitted(features, column.astype(int), 2)
        np.testing.assert_allclose(found.kernel[:, [place]], alone.kernel)
        np.testing.assert_allclose(found.bias[[place]], alone.bias)
        assert found.penalty[place] == alone.penalty
    assert found.bias[1] < -20


def of_scikit_learn(features, labels, regression):
    """An independent regression on standardised features, in float64."""
    pipeline = make_pipeline(StandardScaler(), regression)
    return pipeline.fit(features.reshape(len(features), -1), labels)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(classes, monkeypatch):
    # Both to the end, and in float64: float32 alone differs by 2e-4.
    original = penalized_regression._logistic
    monkeypatch.setattr(
        penalized_regression,
        "_logistic",
        lambda penalty: original(penalty).set_params(tol=1e-9),
    )
    features, labels = made_up(150, classes)
    found = fitted(features, labels, classes)
    expected = of_scikit_learn(
        features,
        labels,
        LogisticRegression(C=1 / found.penalty, tol=1e-9, max_iter=10_000),
    )
    flat = features.reshape(len(features), -1)
    logits = flat @ found.kernel + found.bias
    if classes == 2:
        assert found.kernel.shape == (15, 1)
        logits = np.hstack([0 * logits, logits])
    np.testing.assert_allclose(
        scipy.special.softmax(logits, axis=1),
        expected.predict_proba(flat),
        atol=1e-5,
    )


def test_scores_are_those_of_scikit_learn():
    features, labels = made_up(150, 2)
    labels = labels + features[:, 1, 1]
    found = fitted(features, labels, None)
    expected = of_scikit_learn(features, labels, Ridge(found.penalty))
    flat = features.reshape(len(features), -1)
    np.testing.assert_allclose(
        (flat @ found.kernel + found.bias)[:, 0],
        expected.predict(flat),
        atol=1e-9,
    )


@pytest.mark.parametrize("classes", [2, None])
def test_penalty_is_as_strong_as_the_noise(classes):
    features, _ = made_up(200, 2)
    clear = (features[:, 0, 0] > features[:, 0, 0].mean()).astype(int)
    noise = np.random.default_rng(5).integers(0, 2, 200)
    assert fitted(features, noise, classes).penalty > 20
    assert fitted(features, clear, classes).penalty <= 10


@pytest.mark.parametrize(
    ("labels", "classes", "prediction"),
    [
        ([1, 1, 1], 2, [1, 1, 1]),
        ([0], 3, [0]),
        # In one fold's training rows there is no class 1 at all.
        ([0, 0, 0, 0, 0, 0, 1], 2, None),
        ([2, 0, 0, 2, 0, 0, 2], 3, None),
        ([0, 1], 2, None),
        ([1.5, 1.5], None, [1.5, 1.5]),
        ([1.5, 2.5], None, None),
    ],
)
def test_few_rows_and_classes_that_none_has(labels, classes, prediction):
    features = np.random.default_rng(2).normal(size=(len(labels), 2, 3))
    found = fitted(features, np.array(labels), classes)
    outputs = features.reshape(len(labels), -1) @ found.kernel + found.bias
    assert np.isfinite(outputs).all()
    if classes == 2:
        outputs = np.hstack([0 * outputs, outputs])
    given = outputs.argmax(axis=1) if classes else outputs[:, 0]
    assert set(given) <= set(labels) or classes is None
    if prediction is not None:
        np.testing.assert_allclose(given, prediction)


def test_a_feature_that_is_constant_but_for_rounding_says_nothing():
    features, labels = made_up(60, 2)
    random = np.random.default_rng(3)
    features[:, 2, 4] = 7 * (1 + 1e-7 * random.normal(size=60))
    features[:, 2, 3] = 0
    found = fitted(features, labels, 2)
    # As a hidden state of another rounding would have it.
    assert np.abs(found.kernel[-2:]).max() < 1e-3


def test_of_many_rows_some_choose_the_penalty(monkeypatch):
    """And all of them are fitted."""
    monkeypatch.setattr(penalized_regression, "_SCORES_TO_CHOOSE_ON", 50)
    features, labels = made_up(150, 2)
    found = fitted(features, labels, None, seed=1)
    again = fitted(features, labels, None, seed=1)
    np.testing.assert_array_equal(found.kernel, again.kernel)
    expected = of_scikit_learn(features, labels, Ridge(found.penalty))
    flat = features.reshape(len(features), -1)
    np.testing.assert_allclose(
        (flat @ found.kernel + found.bias)[:, 0],
        expected.predict(flat),
        atol=1e-9,
    )


def test_the_saved_model_is_the_regression_on_the_means(trained, classes_cache):
    head = TrainedHead.open(trained)
    model = head.load_model()
    assert isinstance(model, LinearProbe)
    assert head.parameters == model.count_params() == 3 * 16 + 1
    assert head.seconds > 0
    features, labels = means_of(classes_cache), classes_cache.labels()
    record = read_json(trained / "head.json")
    expected = of_scikit_learn(
        features, labels, LogisticRegression(C=1 / record["penalty"])
    )
    logits = model.predict(classes_cache.as_dataset(16), verbose=0)
    np.testing.assert_allclose(
        scipy.special.softmax(logits, axis=1),
        expected.predict_proba(features),
        atol=2e-3,
    )
    assert (logits.argmax(axis=1) == labels).mean() > 0.9


def test_scores_of_a_cache(scores_cache, tmp_path):
    head = train_regression(SCORES, scores_cache, tmp_path)
    found = head.load_model().predict(scores_cache.as_dataset(16), verbose=0)
    assert found.shape == (40, 1)
    error = found[:, 0] - scores_cache.labels()
    assert np.square(error).mean() < scores_cache.labels().var() / 4


def test_8_bit_hidden_states(trained, classes_cache, tmp_path):
    cache = convert_cache(
        classes_cache.directory, tmp_path / "cache", dtype="int8"
    )
    head = train_regression(CLASSES, cache, tmp_path / "head", seed=3)
    found, expected = (
        one.load_model().predict(classes_cache.as_dataset(16), verbose=0)
        for one in (head, TrainedHead.open(trained))
    )
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_the_same_again_and_not_done_twice(
    trained, classes_cache, tmp_path, monkeypatch
):
    again = train_regression(CLASSES, classes_cache, tmp_path, seed=3)
    for found, expected in zip(
        again.load_model().get_weights(),
        TrainedHead.open(trained).load_model().get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    forbid(monkeypatch, regression, "closed_form")
    head = train_regression(CLASSES, classes_cache, tmp_path, seed=3)
    assert head == again


def test_killed_before_the_record_it_is_no_head(
    classes_cache, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        fail_at_call(
            patched, head_module.fileio, "write_json", 1, KeyboardInterrupt()
        )
        with pytest.raises(KeyboardInterrupt):
            train_regression(CLASSES, classes_cache, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "head.keras"}
    train_regression(CLASSES, classes_cache, tmp_path)
    assert (tmp_path / "head.json").exists()


def test_another_head_is_in_the_folder(trained, classes_cache, tmp_path):
    with pytest.raises(RunError, match="with seed = 3, not 4"):
        train_regression(CLASSES, classes_cache, trained, seed=4)
    with pytest.raises(RunError, match='head = "regression", not "pooled"'):
        train_head(CLASSES, classes_cache, trained)
    train_head(CLASSES, classes_cache, tmp_path, units=1, epochs=1)
    with pytest.raises(RunError, match='head = "pooled", not "regression"'):
        train_regression(CLASSES, classes_cache, tmp_path)


def test_spans_have_no_regression(classes_cache, tmp_path):
    with pytest.raises(ArgumentError, match=r"^head: expected pooled for squ"):
        train_regression(tasks.get("squad_v2"), classes_cache, tmp_path)
    assert not list(tmp_path.iterdir())


def test_means_that_do_not_fit(classes_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 40 * 3 * 16 * 4)
    with pytest.raises(CacheError, match=r"features of .* take fewer rows"):
        # Of a seed that no other test has: what was found is kept.
        train_regression(CLASSES, classes_cache, tmp_path, seed=77)


def test_features_that_are_almost_nothing_get_no_weight():
    """MiniLM's last layer has some that deviate by 1e-17."""
    features, labels = made_up(60, 2)
    features[:, 1, 2] = 1e-17 * np.random.default_rng(0).normal(size=60)
    found = fitted(features, labels, 2)
    assert np.abs(found.kernel).max() < 1e3
    scores = fitted(features, labels.astype(np.float32), None)
    assert np.abs(scores.kernel).max() < 1e3
