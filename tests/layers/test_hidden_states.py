import pathlib
import warnings

import keras
import keras_hub
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from bvkeras.layers.gelu import gelu_tanh, get_hidden_act, set_hidden_act
from bvkeras.layers.hidden_states import HiddenStates
from tests import fresh_process

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / "tests" / "parity" / "tiny_tanh"
FEATURES = 16
# Compiled and eager graphs sum in another order.
ROUNDING = 2e-5


def tiny_backbone(**kwargs):
    return load_backbone(TINY, **kwargs).backbone


@pytest.fixture(scope="module")
def inputs():
    encoder = load_backbone(TINY)
    return encoder.preprocess(["the cat sat.", "A dog"], ["Zo ran", "on mat"])


def functional_inputs():
    return {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "segment_ids", "padding_mask")
    }


def functional_model(layer):
    model_inputs = functional_inputs()
    return keras.Model(model_inputs, layer(model_inputs))


def classifier(layer):
    model_inputs = functional_inputs()
    states = layer(model_inputs)
    logits = keras.layers.Dense(2)(states[:, 0, -1, :])
    model = keras.Model(model_inputs, logits)
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def test_last_state_is_the_backbones_sequence_output(inputs):
    backbone = tiny_backbone()
    states = HiddenStates(backbone)(inputs)
    assert states.shape == (*inputs["token_ids"].shape, 3, FEATURES)
    expected = backbone(inputs)["sequence_output"]
    np.testing.assert_allclose(states[:, :, -1], expected, atol=ROUNDING)


def test_layers_are_given_in_the_order_asked_for(inputs):
    backbone = tiny_backbone()
    states = HiddenStates(backbone)(inputs)
    chosen = HiddenStates(backbone, layers=[-1, 0])(inputs)
    np.testing.assert_array_equal(chosen[:, :, 0], states[:, :, 2])
    np.testing.assert_array_equal(chosen[:, :, 1], states[:, :, 0])


def test_as_list_holds_the_layers_of_the_stack(inputs):
    backbone = tiny_backbone()
    stacked = HiddenStates(backbone)(inputs)
    states = HiddenStates(backbone, as_list=True)(inputs)
    assert len(states) == 3
    for index, state in enumerate(states):
        np.testing.assert_array_equal(state, stacked[:, :, index])


def test_nothing_above_the_highest_layer_is_computed(inputs):
    layer = HiddenStates(tiny_backbone(), layers=[1, 0])
    graph = tf.function(layer).get_concrete_function(inputs).graph
    names = " ".join(operation.name for operation in graph.get_operations())
    assert "transformer_layer_0" in names
    assert "transformer_layer_1" not in names
    assert "pooled_dense" not in names


def test_padding_changes_no_token(inputs):
    layer = HiddenStates(tiny_backbone())
    padded = {
        name: np.pad(value, ((0, 0), (0, 4))) for name, value in inputs.items()
    }
    valid = inputs["padding_mask"] == 1
    np.testing.assert_allclose(
        layer(padded).numpy()[:, : valid.shape[1]][valid],
        layer(inputs).numpy()[valid],
        atol=ROUNDING,
    )


def test_padding_mask_is_the_keras_mask(inputs):
    backbone = tiny_backbone()
    expected = inputs["padding_mask"].astype(bool)
    assert not expected.all()
    states = HiddenStates(backbone)(inputs)
    np.testing.assert_array_equal(states._keras_mask, expected)
    layer = HiddenStates(backbone, as_list=True)
    for state in layer(inputs):
        np.testing.assert_array_equal(state._keras_mask, expected)


@pytest.mark.parametrize("as_list", [False, True])
def test_symbolic_call_in_a_functional_model(inputs, as_list):
    layer = HiddenStates(tiny_backbone(), layers=[0, 2], as_list=as_list)
    model = functional_model(layer)
    shape = (None, None, FEATURES) if as_list else (None, None, 2, FEATURES)
    assert model.output_shape == ([shape, shape] if as_list else shape)
    np.testing.assert_allclose(
        model.predict(inputs, verbose=0), layer(inputs), atol=ROUNDING
    )


def test_runs_in_a_tf_function_of_any_shape(inputs):
    layer = HiddenStates(tiny_backbone())
    signature = {
        name: tf.TensorSpec((None, None), tf.int32, name=name)
        for name in inputs
    }
    function = tf.function(layer, input_signature=[signature])
    np.testing.assert_allclose(function(inputs), layer(inputs), atol=ROUNDING)


def test_dropout_only_in_training(inputs):
    layer = HiddenStates(tiny_backbone(dropout=0.5))
    states = layer(inputs)
    np.testing.assert_array_equal(states, layer(inputs))
    trained = layer(inputs, training=True).numpy()
    assert all(
        np.abs(trained[:, :, i] - states[:, :, i]).max() > 0.1 for i in range(3)
    )


def test_unused_parts_are_never_trainable():
    backbone = tiny_backbone()
    layer = HiddenStates(backbone, layers=[1])
    used = len(layer.trainable_weights)
    # Three embeddings, LayerNorm, and sixteen weights of one layer.
    assert used == 3 + 2 + 16
    layer.trainable = False
    assert layer.trainable_weights == []
    assert not backbone.token_embedding.trainable
    layer.trainable = True
    assert len(layer.trainable_weights) == used
    assert not backbone.pooled_dense.trainable
    model = functional_model(layer)
    model.trainable = False
    model.trainable = True
    assert len(model.trainable_weights) == used


def test_made_frozen_it_stays_frozen_in_its_model():
    layer = HiddenStates(tiny_backbone(), trainable=False)
    assert functional_model(layer).trainable_weights == []
    restored = HiddenStates.from_config(layer.get_config())
    assert functional_model(restored).trainable_weights == []


@pytest.mark.parametrize(
    "layers", [pytest.param(None, marks=pytest.mark.full), [0, 1]]
)
def test_fit_trains_all_that_is_trainable(inputs, layers):
    layer = HiddenStates(tiny_backbone(), layers=layers)
    model = classifier(layer)
    before = [weight.numpy() for weight in layer.trainable_weights]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(inputs, np.array([0, 1]), verbose=0)
    for weight, value in zip(layer.trainable_weights, before, strict=True):
        # Softmax does not see a constant added to all its inputs.
        if not weight.path.endswith("key/bias"):
            assert not np.array_equal(weight.numpy(), value), weight.path


def test_fit_leaves_a_frozen_backbone_alone(inputs):
    layer = HiddenStates(tiny_backbone(), trainable=False)
    model = classifier(layer)
    before = layer.get_weights()
    model.fit(inputs, np.array([0, 1]), verbose=0)
    for after, value in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, value)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(inputs, dtype):
    expected = HiddenStates(tiny_backbone())(inputs).numpy()
    layer = HiddenStates(tiny_backbone(dtype=dtype))
    assert functional_model(layer).output.dtype == dtype.removeprefix("mixed_")
    states = layer(inputs)
    assert states.dtype == dtype.removeprefix("mixed_")
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    # A step of bfloat16 at 2 is 2**-7; some of them add up.
    valid = inputs["padding_mask"] == 1
    difference = np.abs(states.numpy().astype("float32") - expected)[valid]
    assert difference.max() < 0.15
    loss = classifier(layer).evaluate(inputs, np.array([0, 1]), verbose=0)
    assert np.isfinite(loss)


def test_output_dtype_can_differ_from_the_backbones(inputs):
    layer = HiddenStates(tiny_backbone(), dtype="bfloat16")
    assert layer(inputs).dtype == "bfloat16"
    assert functional_model(layer).output.dtype == "bfloat16"


@pytest.mark.parametrize("hidden_act", ["erf", "tanh"])
def test_config_round_trip(inputs, hidden_act):
    layer = HiddenStates(
        tiny_backbone(hidden_act=hidden_act, dtype="mixed_bfloat16"),
        layers=[-1, 1],
        as_list=True,
        name="states",
    )
    restored = HiddenStates.from_config(layer.get_config())
    assert restored.get_config() == layer.get_config()
    assert restored.hidden_act == hidden_act
    restored.set_weights(layer.get_weights())
    for state, expected in zip(restored(inputs), layer(inputs), strict=True):
        np.testing.assert_array_equal(state, expected)


LOAD = """
import sys
import keras
import numpy as np
import bvkeras.layers.hidden_states
folder = sys.argv[1]
inputs = dict(np.load(f"{folder}/inputs.npz"))
for hidden_act in ("erf", "tanh"):
    model = keras.models.load_model(f"{folder}/{hidden_act}.keras")
    states = model.predict(inputs, verbose=0)
    np.save(f"{folder}/{hidden_act}.npy", states)
"""


@pytest.mark.full
def test_saved_model_keeps_its_gelu_in_a_fresh_process(inputs, tmp_path):
    np.savez(tmp_path / "inputs.npz", **inputs)
    expected = {}
    for hidden_act in ("erf", "tanh"):
        backbone = tiny_backbone(hidden_act=hidden_act)
        model = functional_model(HiddenStates(backbone, layers=[-1, 0]))
        model.save(tmp_path / f"{hidden_act}.keras")
        expected[hidden_act] = model.predict(inputs, verbose=0)
    fresh_process.run("-c", LOAD, tmp_path, cwd=ROOT, check=True)
    for hidden_act, states in expected.items():
        loaded = np.load(tmp_path / f"{hidden_act}.npy")
        np.testing.assert_array_equal(loaded, states)
    # Else the comparison above could not see a flipped GELU.
    assert np.abs(expected["erf"] - expected["tanh"]).max() > 1e-4


def test_user_made_backbones_are_taken(inputs):
    arguments = {
        "vocabulary_size": 194,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
    }
    for library in (keras_hub, keras_nlp):
        backbone = library.models.BertBackbone(**arguments)
        layer = HiddenStates(backbone)
        assert layer.hidden_act == "tanh"
        assert layer(inputs).shape[2:] == (2, 8)


def test_hidden_act_is_set_on_the_backbone(inputs):
    backbone = tiny_backbone()
    tanh = backbone.predict(inputs, verbose=0)["sequence_output"]
    layer = HiddenStates(backbone, hidden_act="erf")
    assert get_hidden_act(backbone) == layer.hidden_act == "erf"
    erf = backbone.predict(inputs, verbose=0)["sequence_output"]
    assert np.abs(erf - tanh).max() > 1e-4
    np.testing.assert_allclose(layer(inputs)[:, :, -1], erf, atol=ROUNDING)


def test_gelu_tanh_is_the_papers_formula():
    x = np.linspace(-4, 4, 81, dtype="float32")
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    np.testing.assert_allclose(
        gelu_tanh(x), 0.5 * x * (1 + np.tanh(inner)), atol=ROUNDING
    )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"layers": [0, 3]}, r"between -3 and 2 .*, got 3"),
        ({"layers": [-4]}, r"between -3 and 2 .*, got -4"),
        ({"layers": []}, "at least one hidden state"),
        ({"hidden_act": "relu"}, "'erf' or 'tanh', got 'relu'"),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ArgumentError, match=message):
        HiddenStates(tiny_backbone(), **kwargs)


def test_other_backbones_are_refused():
    with pytest.raises(ArgumentError, match=r"BertBackbone, .*; got Dense"):
        HiddenStates(keras.layers.Dense(2))


def test_other_activations_are_refused():
    backbone = tiny_backbone()
    dense = backbone.transformer_layers[0]._feedforward_intermediate_dense
    dense.activation = keras.activations.relu
    with pytest.raises(ArgumentError, match="'gelu_tanh', 'relu'"):
        HiddenStates(backbone)
    with pytest.raises(ArgumentError, match="got 'relu'"):
        set_hidden_act(backbone, "relu")


def test_bad_inputs_are_named(inputs):
    layer = HiddenStates(tiny_backbone())
    with pytest.raises(ArgumentError, match="missing: padding_mask"):
        layer({name: inputs[name] for name in ("token_ids", "segment_ids")})
    too_long = {name: np.ones((1, 129), "int32") for name in inputs}
    with pytest.raises(ArgumentError, match=r"129 tokens .* at most 128"):
        layer(too_long)
