import keras
import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.errors import ArgumentError, RunError
from bvkeras.evaluation import layer_importance as module
from bvkeras.evaluation.layer_importance import (
    layer_importance,
    measure_importance,
)
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.models.pooling_regressor import PoolingRegressor
from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.training.head import TrainedHead
from tests.cache.made_caches import LENGTHS, made_arrays, make_cache

SIZES = {"units": 4, "num_layers": 3, "hidden_dim": 5}


def classifier(**options):
    sizes = {"num_classes": 3, "sequence_length": 16, **SIZES, **options}
    return PoolingClassifier(**sizes)


def open_cache(directory, **options):
    return HiddenStateCache(make_cache(directory, **options))


def set_random(model):
    for number, weight in enumerate(model.weights):
        values = np.random.default_rng(number).normal(size=weight.shape)
        weight.assign(values)
    return model


def test_contributions_add_up_to_the_outputs():
    model = set_random(classifier())
    states = np.random.default_rng(1).normal(size=(2, 6, 3, 5)).astype("f")
    mask = np.arange(6) < np.array([[6], [4]])
    found = np.asarray(model.layer_contributions(states, mask))
    assert found.shape == (2, 6, 3, 3)
    assert not found[1, 4:].any()
    outputs = found.sum((1, 2)) + np.asarray(model.bias)
    expected = np.asarray(model((states, mask)))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("masked", [True, False])
def test_contributions_to_a_mean_add_up_to_the_outputs(masked):
    model = set_random(classifier(sequence_length=None))
    states = np.random.default_rng(1).normal(size=(2, 6, 3, 5)).astype("f")
    mask = np.arange(6) < np.array([[6], [4]]) if masked else None
    found = np.asarray(model.layer_contributions(states, mask))
    outputs = found.sum((1, 2)) + np.asarray(model.bias)
    expected = np.asarray(model((states, mask) if masked else states))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_contributions_of_a_span_model_add_up_at_every_token():
    model = set_random(PoolingSpanModel(**SIZES))
    states = np.random.default_rng(1).normal(size=(2, 6, 3, 5)).astype("f")
    found = np.asarray(model.layer_contributions(states))
    outputs = found.sum(2) + np.asarray(model.bias)
    expected = np.asarray(model(states))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_importance_by_hand(tmp_path, dtype):
    """One unit, GELU nearly linear far from zero, a projection of ones."""
    model = classifier(units=1, num_classes=2)
    kernel = np.array([1, 2, -1, 0.5, 3], np.float32)[:, None]
    model.linear_pooling.kernel.assign(kernel)
    model.linear_pooling.bias.assign([50.0])
    # Class 1 sees twice layer 0, minus layer 1, and nothing of layer 2;
    # class 0 sees nothing.
    projection = np.zeros((16, 3, 1, 2), np.float32)
    projection[:, 0, 0, 1], projection[:, 1, 0, 1] = 2, -1
    model.projection.assign(projection.reshape(-1, 2))
    cache = open_cache(tmp_path, dtype=dtype)

    sums = np.array(
        [(states @ kernel + 50).sum((0, 2)) for states in made_arrays()]
    )
    logits = np.zeros((len(LENGTHS), 3, 2))
    logits[..., 1] = sums * [2, -1, 0]
    logits -= logits.mean(-1, keepdims=True)
    logits -= logits.mean(0)
    expected = np.sqrt((logits**2).sum(-1).mean(0))
    found = measure_importance(model, cache)
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    assert found[2] == 0


def test_what_all_examples_share_is_no_importance(tmp_path):
    model = set_random(
        PoolingRegressor(
            units=2, sequence_length=16, num_layers=3, hidden_dim=5
        )
    )
    # Every example has the same tokens, so only their number tells.
    cache = open_cache(tmp_path, lengths=(4, 4, 4), regression=True)
    model.linear_pooling.kernel.assign(np.zeros((5, 2)))
    assert measure_importance(model, cache) == pytest.approx([0, 0, 0])


def test_of_spans_tokens_are_told_apart(tmp_path):
    model = set_random(PoolingSpanModel(**SIZES))
    cache = open_cache(tmp_path)
    squares, tokens = 0, 0
    for states in made_arrays():
        found = np.asarray(model.layer_contributions(states[None]))[0]
        squares += ((found - found.mean(0)) ** 2).sum((0, 2))
        tokens += len(states)
    found = measure_importance(model, cache)
    np.testing.assert_allclose(found, np.sqrt(squares / tokens), rtol=1e-4)


def test_of_a_mix_it_is_the_weights(tmp_path):
    model = classifier(pooler="scalar_mix")
    model.scalar_mix.layer_weights.assign([0.0, 1.0, 2.0])
    cache = open_cache(tmp_path)
    expected = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(
        measure_importance(model, cache), expected, rtol=1e-6
    )


def test_another_model_is_refused(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ArgumentError, match="model: expected a pooled head"):
        measure_importance(model, open_cache(tmp_path))


def test_it_is_measured_once(tmp_path, monkeypatch):
    cache = open_cache(tmp_path / "cache")

    def save(name, seed):
        directory = tmp_path / name
        directory.mkdir()
        keras.utils.set_random_seed(seed)
        model = set_random(classifier(seed=seed))
        model.save(directory / "head.keras")
        return TrainedHead(directory, 0.0, 0, [], {}, tasks.get("sst2"), {})

    head, other = save("head", 0), save("other", 1)
    found = layer_importance(head, cache, tmp_path / "evaluation")
    with monkeypatch.context() as patched:
        patched.setattr(module, "measure_importance", None)
        again = layer_importance(head, cache, tmp_path / "evaluation")
    assert again == found
    with pytest.raises(RunError, match="was made with head"):
        layer_importance(other, cache, tmp_path / "evaluation")
