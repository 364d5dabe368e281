import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.layers.linear_pooling import LinearPooling
from tests.layer_checks import check_layer, on_both

pytestmark = pytest.mark.usefixtures("each_implementation")

RANDOM = np.random.default_rng(0)
HIDDEN_STATES = RANDOM.normal(size=(3, 5, 2, 7)).astype("float32")
LAYERS = [np.ascontiguousarray(HIDDEN_STATES[:, :, i]) for i in range(2)]
VALUES = RANDOM.integers(-127, 128, size=(3, 5, 2, 7)).astype("int8")
SCALES = RANDOM.uniform(0.001, 0.02, size=(3, 5, 2)).astype("float32")
QUANTIZED = (VALUES, SCALES)
QUANTIZED_LAYERS = (
    [np.ascontiguousarray(VALUES[:, :, i]) for i in range(2)],
    [np.ascontiguousarray(SCALES[:, :, i]) for i in range(2)],
)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)


_INPUTS = (HIDDEN_STATES, LAYERS, QUANTIZED)
_ARGUMENTS = (
    ({"units": 4}, 2, 7 * 4 + 4),
    ({"units": 1, "approximate": True, "keep": "recompute"}, 2, 7 + 1),
    ({"units": 4, "use_bias": False, "activation": "tanh"}, 1, 7 * 4),
    (
        {
            "units": 4,
            "activation": None,
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l1",
            "implementation": "reference",
        },
        2,
        7 * 4 + 4,
    ),
)


@on_both(
    ("init_kwargs", "num_weights", "num_parameters", "inputs"),
    [(*own, inputs) for own in _ARGUMENTS for inputs in _INPUTS],
    {"native": (0, 4, 8, 10), "reference": (2, 3, 7)},
)
def test_layer(init_kwargs, num_weights, num_parameters, inputs):
    check_layer(
        LinearPooling,
        init_kwargs,
        inputs,
        output_shape=(3, 5, 2, init_kwargs["units"]),
        num_weights=num_weights,
        num_parameters=num_parameters,
    )


@pytest.mark.parametrize("approximate", [False, True])
def test_equals_a_dense_layer_with_gelu(approximate):
    layer = LinearPooling(4, approximate=approximate)
    actual = layer(HIDDEN_STATES)
    dense = keras.layers.Dense(4)
    dense.build(HIDDEN_STATES.shape)
    dense.set_weights(layer.get_weights())
    expected = keras.activations.gelu(dense(HIDDEN_STATES), approximate)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("activation", ["gelu", "sigmoid", None])
@pytest.mark.parametrize("as_list", [False, True])
def test_padding_is_zero_and_reaches_nothing(activation, as_list):
    dirty = HIDDEN_STATES.copy()
    dirty[~MASK] = np.nan
    inputs = tf.unstack(dirty, axis=2) if as_list else tf.constant(dirty)
    layer = LinearPooling(4, activation=activation, bias_initializer="ones")
    with tf.GradientTape() as tape:
        output = layer(inputs, mask=MASK)
        loss = tf.reduce_sum(output**2)
    gradients = tape.gradient(loss, layer.trainable_weights)
    output = output.numpy()
    clean = layer(HIDDEN_STATES).numpy()
    np.testing.assert_allclose(output[MASK], clean[MASK], atol=1e-6)
    assert (output[~MASK] == 0).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def masked_inputs():
    """Two layers of hidden states of an embedding that knows its padding."""
    token_ids = keras.Input((5,), dtype="int32")
    embedding = keras.layers.Embedding(11, 7, mask_zero=True)
    layers = [embedding(token_ids), embedding(token_ids)]
    return token_ids, layers


@pytest.mark.filterwarnings("error")
def test_takes_the_mask_of_the_layer_before_and_ends_it():
    token_ids, layers = masked_inputs()
    pooled = LinearPooling(4, bias_initializer="ones")(layers)
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(pooled))
    model = keras.Model(token_ids, [pooled, outputs])
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    pooled, _ = model(ids)
    assert (pooled.numpy()[ids == 0] == 0).all()
    assert (pooled.numpy()[ids != 0] != 0).any(-1).all()


def test_auto_does_not_compile_with_xla():
    model = keras.Sequential([LinearPooling(4), keras.layers.Flatten()])
    model.compile("sgd", "mean_squared_error", jit_compile="auto")
    assert not model.jit_compile


@pytest.mark.parametrize("units", [0, -3])
def test_units_below_one_are_refused(units):
    message = f"units: received {units}, expected a positive integer"
    with pytest.raises(ArgumentError, match=message):
        LinearPooling(units)


def test_input_that_is_not_hidden_states_is_refused():
    with pytest.raises(ArgumentError, match=r"received shape \(2, 3, 4\)"):
        LinearPooling(4)(np.ones((2, 3, 4)))
    layer = LinearPooling(4)
    layer(HIDDEN_STATES)
    with pytest.raises(ArgumentError, match="received 6 features, expected 7"):
        layer(np.ones((2, 3, 2, 6)))


@pytest.mark.parametrize("activation", ["gelu", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("inputs", [QUANTIZED, QUANTIZED_LAYERS], ids=type)
def test_8_bit_hidden_states_are_values_times_scales(inputs, dtype, activation):
    layer = LinearPooling(4, activation=activation, dtype=dtype)
    output = layer(inputs, mask=MASK)
    layer.kernel.assign(tf.cast(tf.cast(layer.kernel, "bfloat16"), "float32"))
    output = layer(inputs, mask=MASK)
    assert output.dtype == layer.compute_dtype
    dense = VALUES * SCALES[..., None] @ layer.kernel.numpy()
    expected = keras.activations.get(activation)(dense) * MASK[..., None, None]
    # Scales are never rounded; values and kernel are exact in bfloat16.
    tolerance = 1e-6 if dtype == "float32" else 2**-7
    np.testing.assert_allclose(
        tf.cast(output, "float32"), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_hidden_states_give_the_compute_type(dtype):
    layer = LinearPooling(4)
    narrow = tf.cast(HIDDEN_STATES, dtype)
    output = layer(narrow)
    assert output.dtype == "float32"
    np.testing.assert_allclose(output, layer(HIDDEN_STATES), atol=0.05)


def test_gradient_of_the_kernel_is_float32_under_mixed_precision():
    layer = LinearPooling(4, dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(HIDDEN_STATES))
    gradients = tape.gradient(loss, layer.trainable_weights)
    assert {gradient.dtype for gradient in gradients} == {tf.float32}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (VALUES, "received dtype int8, expected one of float32"),
        ((VALUES, SCALES[:, :4]), r"scales: received shape \(3, 4, 2\), exp"),
        ((VALUES, SCALES.astype("float16")), "scales: received dtype float16"),
        ((HIDDEN_STATES, SCALES), "hidden_states: received dtype float32, ex"),
    ],
)
def test_wrong_8_bit_hidden_states_are_refused(inputs, message):
    with pytest.raises(ArgumentError, match=message):
        LinearPooling(4)(inputs)
