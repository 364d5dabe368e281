"""A linear map of weighted means: a formula written out, and its edges."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.cache.quantization import quantize
from bvkeras.errors import ArgumentError
from bvkeras.models.linear_probe import LinearProbe
from bvkeras.models.weighted_probe import WeightedProbe

LENGTHS = (5, 1, 3, 4)
LAYERS, FEATURES, TOKENS = 3, 6, 6
# Where the second text begins, of pairs.
SECOND_AT = 3


@pytest.fixture(scope="module")
def states():
    random = np.random.default_rng(0)
    shape = (len(LENGTHS), TOKENS, LAYERS, FEATURES)
    return random.normal(size=shape).astype(np.float32)


def mask_of(pairs):
    mask = (np.arange(TOKENS) < np.array(LENGTHS)[:, np.newaxis]).astype("u1")
    if pairs:
        mask[:, SECOND_AT:] = 2
        mask[1, :SECOND_AT] = [1, 0, 0]
        mask[2, SECOND_AT + 1 :] = 0
    return mask


def probe(num_classes, pairs=False, **settings):
    model = WeightedProbe(
        num_classes, LAYERS, FEATURES, pairs=pairs, **settings
    )
    random = np.random.default_rng(1)
    model.set_weights(
        [random.normal(size=weight.shape) for weight in model.get_weights()]
    )
    return model


def expected(states, mask, pairs, kernel, bias, query):
    """The outputs of one logit a column, in float64, text by text."""
    rows = []
    for example, kept in zip(states.astype(np.float64), mask, strict=True):
        means = []
        for text in (1, 2) if pairs else (1,):
            own = example[kept == text]
            scores = np.einsum("tle,le->tl", own, query)
            shares = np.exp(scores - scores.max(axis=0))
            shares /= shares.sum(axis=0)
            means.append(np.einsum("tl,tle->le", shares, own))
        if pairs:
            u, v = (
                mean / np.sqrt((mean**2).mean(axis=1, keepdims=True))
                for mean in means
            )
            cosines = [
                a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                for a, b in zip(*means, strict=True)
            ]
            rows.append([*cosines, *np.abs(u - v).ravel(), *(u * v).ravel()])
        else:
            rows.append(means[0].ravel())
    return np.array(rows) @ kernel + bias


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("num_classes", [None, 2, 3])
def test_outputs_are_those_of_the_formula(states, pairs, num_classes):
    model, mask = probe(num_classes, pairs), mask_of(pairs)
    found = model((states, mask)).numpy()
    wanted = expected(states, mask, pairs, *model.get_weights())
    if num_classes == 2:
        assert not found[:, 0].any()
        found = found[:, 1:]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairs", [False, True])
def test_every_gradient_is_that_of_small_steps(states, pairs):
    model, mask = probe(3, pairs), mask_of(pairs)
    shares = np.random.default_rng(2).normal(size=(len(LENGTHS), 3))

    def loss(weights):
        return (expected(states, mask, pairs, *weights) * shares).sum()

    with tf.GradientTape() as tape:
        value = tf.reduce_sum(model((states, mask)) * shares.astype("f"))
    found = tape.gradient(value, [w.value for w in model.weights])
    weights = [w.astype(np.float64) for w in model.get_weights()]
    for gradient, weight in zip(found, weights, strict=True):
        for place in np.ndindex(*weight.shape):
            kept, step = weight[place], 1e-5
            weight[place] = kept + step
            above = loss(weights)
            weight[place] = kept - step
            slope = (above - loss(weights)) / (2 * step)
            weight[place] = kept
            assert gradient.numpy()[place] == pytest.approx(slope, 2e-3, 2e-3)


@pytest.mark.parametrize("pairs", [False, True])
def test_it_starts_as_the_linear_probe(states, pairs):
    linear = LinearProbe(
        3, LAYERS, FEATURES, "glorot_uniform", pairs=pairs, name="linear"
    )
    model = WeightedProbe(3, LAYERS, FEATURES, pairs=pairs)
    model.kernel.assign(linear.kernel)
    inputs = (states, mask_of(pairs))
    np.testing.assert_allclose(
        model(inputs), linear(inputs), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("pairs", [False, True])
def test_padding_reaches_nothing_whatever_it_holds(states, pairs):
    model, mask = probe(3, pairs), mask_of(pairs)
    spoiled = states.copy()
    spoiled[mask == 0] = np.nan
    with tf.GradientTape() as tape:
        outputs = model((tf.constant(spoiled), mask))
        loss = tf.reduce_sum(outputs)
    np.testing.assert_array_equal(outputs, model((states, mask)))
    for gradient in tape.gradient(loss, [w.value for w in model.weights]):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("pairs", [False, True])
def test_layers_as_a_list_and_in_8_bits(states, pairs):
    model, mask = probe(3, pairs), mask_of(pairs)
    layers = [states[:, :, layer] for layer in range(LAYERS)]
    wanted = model((states, mask)).numpy()
    np.testing.assert_array_equal(model((layers, mask)), wanted)
    values, scales = quantize(tf.constant(states))
    found = model(((values, scales), mask))
    read = values.numpy() * scales.numpy()[..., np.newaxis]
    np.testing.assert_allclose(found, model((read, mask)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pairs", [False, True])
def test_a_text_without_a_token_and_no_text(states, pairs):
    model = probe(3, pairs)
    nothing = np.zeros(states.shape[:2], np.uint8)
    found = model((states, nothing)).numpy()
    wanted = np.tile(model.bias.numpy(), (len(LENGTHS), 1))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert model((states[:0], nothing[:0])).shape == (0, 3)
    assert model((states[:, :0], nothing[:, :0])).shape == (len(LENGTHS), 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model((states, nothing)))
    for gradient in tape.gradient(loss, [w.value for w in model.weights]):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("pairs", [False, True])
def test_contributions_of_layers_add_up(states, pairs):
    model, mask = probe(3, pairs), mask_of(pairs)
    parts = model.layer_contributions(states, mask).numpy()
    assert parts.shape == (len(LENGTHS), 1, LAYERS, 3)
    np.testing.assert_allclose(
        parts.sum(axis=(1, 2)) + model.bias.numpy(),
        model((states, mask)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_saved_and_opened_it_is_the_same(states, tmp_path):
    model = probe(3, True, dropout=0.2, seed=4)
    model.save(tmp_path / "head.keras")
    opened = keras.models.load_model(tmp_path / "head.keras")
    assert opened.get_config() == model.get_config()
    inputs = (states, mask_of(True))
    np.testing.assert_array_equal(opened(inputs), model(inputs))


def test_dropout_is_of_training_alone(states):
    model, inputs = probe(3, dropout=0.5, seed=0), (states, mask_of(False))
    still = model(inputs).numpy()
    np.testing.assert_array_equal(model(inputs), still)
    assert np.abs(model(inputs, training=True) - still).max() > 0.1


def test_what_cannot_be():
    with pytest.raises(ArgumentError, match=r"dropout: received 1"):
        WeightedProbe(2, dropout=1)
    with pytest.raises(ArgumentError, match=r"num_layers: received 0"):
        WeightedProbe(2, 0, FEATURES)
    with pytest.raises(ArgumentError, match=r"mask: expected 1 at tokens"):
        probe(2, True)(np.zeros((1, 2, LAYERS, FEATURES), np.float32))
    with pytest.raises(ArgumentError, match=r"expected \(3, 6\)"):
        probe(2)(np.zeros((1, 2, LAYERS, 4), np.float32))
