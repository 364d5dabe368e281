import numpy as np
import pytest
import sklearn.linear_model
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.models.linear_probe import LinearProbe
from tests.layer_checks import check_fresh_process, check_model

RANDOM = np.random.default_rng(0)
HIDDEN_STATES = RANDOM.normal(size=(4, 5, 3, 7)).astype("float32")
LAYERS = [np.ascontiguousarray(HIDDEN_STATES[:, :, i]) for i in range(3)]
MASK = np.arange(5) < np.array([[5], [3], [1], [0]])
SIZES = {"num_layers": 3, "hidden_dim": 7}


def mean_of(states, mask):
    """The mean over real tokens, written out in float64."""
    rows = [
        row[real].astype("float64").mean(0) if real.any() else 0 * row[0]
        for row, real in zip(states, mask, strict=True)
    ]
    return np.stack(rows).reshape(len(rows), -1)


@pytest.fixture(params=[None, 2, 3])
def probe(request):
    return LinearProbe(request.param, **SIZES, kernel_initializer="normal")


_MASKED = (HIDDEN_STATES, np.ones((4, 5), bool))
_QUICK = ((None, 2), (2, 0), (3, 1))


@pytest.mark.parametrize(
    ("num_classes", "outputs", "columns", "inputs", "sizes"),
    [
        pytest.param(
            *(*own, *given),
            marks=() if (own[0], place) in _QUICK else pytest.mark.full,
        )
        for own in ((None, 1, 1), (2, 2, 1), (3, 3, 3))
        for place, given in enumerate(
            ((HIDDEN_STATES, {}), (LAYERS, SIZES), (_MASKED, SIZES))
        )
    ],
)
def test_a_model_like_any_other(num_classes, outputs, columns, inputs, sizes):
    check_model(
        LinearProbe,
        {
            "num_classes": num_classes,
            "kernel_initializer": "glorot_uniform",
            **sizes,
        },
        inputs,
        output_shape=(4, outputs),
        num_weights=2,
        num_parameters=columns * (3 * 7 + 1),
        output_dtype="float32",
    )


def test_each_label_has_its_own_logit():
    probe = LinearProbe(2, **SIZES, several_labels=True)
    weights = RANDOM.normal(size=(21, 2)), RANDOM.normal(size=2)
    probe.set_weights(weights)
    expected = mean_of(HIDDEN_STATES, MASK) @ weights[0] + weights[1]
    np.testing.assert_allclose(
        probe((HIDDEN_STATES, MASK)), expected, atol=1e-6
    )
    again = LinearProbe.from_config(probe.get_config())
    assert again.kernel.shape == (21, 2)
    assert LinearProbe(1, **SIZES, several_labels=True).kernel.shape[1] == 1


@pytest.mark.full
def test_saved_models_open_anywhere(tmp_path):
    models = [
        LinearProbe(classes, **SIZES, kernel_initializer="normal")
        for classes in (None, 2)
    ]
    check_fresh_process(models, (HIDDEN_STATES, MASK), tmp_path)


def test_outputs_are_the_map_of_the_mean(probe):
    probe.bias.assign(RANDOM.normal(size=probe.bias.shape))
    expected = mean_of(HIDDEN_STATES, MASK) @ probe.kernel.numpy()
    expected += probe.bias.numpy()
    if probe.num_classes == 2:
        expected = np.hstack([np.zeros((4, 1)), expected])
    for states in (HIDDEN_STATES, LAYERS):
        found = probe((states, MASK))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_array_equal(probe(states, mask=MASK), found)


def test_padding_reaches_nothing(probe):
    dirty = np.where(MASK[..., None, None], HIDDEN_STATES, np.nan)
    expected = probe((HIDDEN_STATES, MASK))
    np.testing.assert_array_equal(probe((dirty, MASK)), expected)
    np.testing.assert_allclose(
        probe((HIDDEN_STATES[:, :3], MASK[:, :3]))[1:], expected[1:], atol=1e-6
    )


@pytest.mark.parametrize("as_list", [False, True])
def test_8_bit_hidden_states_are_values_times_scales(probe, as_list):
    values = RANDOM.integers(-127, 128, HIDDEN_STATES.shape).astype("int8")
    scales = RANDOM.uniform(0.001, 0.02, values.shape[:3]).astype("float32")
    quantized = (values, scales)
    if as_list:
        quantized = tuple(
            [array[:, :, i] for i in range(3)] for array in quantized
        )
    expected = probe((values * scales[..., None], MASK))
    np.testing.assert_allclose(
        probe((quantized, MASK)), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(classes):
    states = RANDOM.normal(size=(60, 5, 3, 7)).astype("float32")
    mask = np.arange(5) < RANDOM.integers(1, 6, size=(60, 1))
    features = mean_of(states, mask)
    labels = (features[:, :classes] + RANDOM.normal(size=(60, classes))).argmax(
        1
    )
    found = sklearn.linear_model.LogisticRegression().fit(features, labels)
    probe = LinearProbe(classes, **SIZES)
    probe.set_weights([found.coef_.T, found.intercept_])
    np.testing.assert_allclose(
        tf.nn.softmax(probe((states, mask))),
        found.predict_proba(features),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "num_classes: received 1, expected at least 2"),
        ({"num_layers": 0}, "num_layers: received 0"),
        ({"hidden_dim": 0}, "hidden_dim: received 0"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        LinearProbe(**{**SIZES, **arguments})


def test_hidden_states_of_another_size_are_refused():
    probe = LinearProbe(2, num_layers=7, hidden_dim=3)
    with pytest.raises(ArgumentError, match=r"received \(3, 7\) layers and"):
        probe(HIDDEN_STATES)
    with pytest.raises(ArgumentError, match="received hidden states with 7"):
        LinearProbe(2, hidden_dim=6)(HIDDEN_STATES)
