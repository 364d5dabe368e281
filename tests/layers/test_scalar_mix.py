import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.layers.scalar_mix import ScalarMix
from tests.layer_checks import check_layer

RANDOM = np.random.default_rng(0)
HIDDEN_STATES = RANDOM.normal(size=(3, 5, 4, 7)).astype("float32")
LAYERS = [np.ascontiguousarray(HIDDEN_STATES[:, :, i]) for i in range(4)]
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize("inputs", [HIDDEN_STATES, LAYERS], ids=type)
def test_layer(inputs):
    check_layer(
        ScalarMix,
        {"scale_initializer": keras.initializers.Constant(1.5)},
        inputs,
        output_shape=(3, 5, 7),
        num_weights=2,
        num_parameters=4 + 1,
    )


@pytest.mark.parametrize("inputs", [HIDDEN_STATES, LAYERS], ids=type)
def test_is_the_softmax_weighted_sum_times_the_scale(inputs):
    layer = ScalarMix()
    np.testing.assert_allclose(
        layer(inputs), HIDDEN_STATES.mean(axis=2), atol=1e-6
    )
    weights, scale = RANDOM.normal(size=4), np.float32(0.7)
    layer.set_weights([weights, scale])
    shares = np.exp(weights) / np.exp(weights).sum()
    expected = scale * np.einsum("btle,l->bte", HIDDEN_STATES, shares)
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-6)


@pytest.mark.parametrize("as_list", [False, True])
def test_padding_is_zero_and_reaches_nothing(as_list):
    dirty = HIDDEN_STATES.copy()
    dirty[~MASK] = np.nan
    inputs = tf.unstack(dirty, axis=2) if as_list else tf.constant(dirty)
    layer = ScalarMix()
    with tf.GradientTape() as tape:
        output = layer(inputs, mask=MASK)
        loss = tf.reduce_sum(output**2)
    gradients = tape.gradient(loss, layer.trainable_weights)
    expected = np.where(MASK[..., None], HIDDEN_STATES.mean(axis=2), 0)
    np.testing.assert_allclose(output, expected, atol=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_passes_the_mask_on():
    token_ids = keras.Input((5,), dtype="int32")
    embedding = keras.layers.Embedding(11, 7, mask_zero=True)
    mixed = ScalarMix()([embedding(token_ids), embedding(token_ids)])
    model = keras.Model(token_ids, keras.layers.GlobalAveragePooling1D()(mixed))
    ids = np.array([[1, 2, 3, 0, 0]])
    expected = embedding(ids).numpy()[:, :3].mean(axis=1)
    np.testing.assert_allclose(model(ids), expected, atol=1e-6)


def test_wrong_input_is_refused():
    with pytest.raises(ArgumentError, match=r"received shape \(2, 3, 4\)"):
        ScalarMix()(np.ones((2, 3, 4)))
    layer = ScalarMix()
    layer(HIDDEN_STATES)
    with pytest.raises(ArgumentError, match="received 3 layers, expected 4"):
        layer(np.ones((2, 3, 3, 7)))
