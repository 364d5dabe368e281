import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.models.pooling_regressor import PoolingRegressor
from tests.layer_checks import check_fresh_process, check_model, on_both
from tests.ops import float64_reference

pytestmark = pytest.mark.usefixtures("each_implementation")

RANDOM = np.random.default_rng(0)
HIDDEN_STATES = RANDOM.normal(size=(4, 5, 3, 7)).astype("float32")
LAYERS = [np.ascontiguousarray(HIDDEN_STATES[:, :, i]) for i in range(3)]
MASK = np.arange(5) < np.array([[5], [3], [1], [0]])
VALUES = RANDOM.integers(-127, 128, size=(4, 5, 3, 7)).astype("int8")
SCALES = RANDOM.uniform(0.001, 0.02, size=(4, 5, 3)).astype("float32")
SIZES = {"sequence_length": 6, "num_layers": 3, "hidden_dim": 7}
MEAN_SIZES = {"num_layers": 3, "hidden_dim": 7}
MODELS = [(PoolingClassifier, {"num_classes": 3}), (PoolingRegressor, {})]


_FORMS = {
    "stacked": (HIDDEN_STATES, "linear", {"sequence_length": 6}),
    "list": (LAYERS, "scalar_mix", {"sequence_length": 6}),
    "stacked and mask": ((HIDDEN_STATES, MASK), "linear", SIZES),
    "list and mask": ((LAYERS, MASK), "linear", {"sequence_length": 6}),
    "8-bit and mask": (
        *(((VALUES, SCALES), MASK), "scalar_mix"),
        {"sequence_length": 6},
    ),
    "mean, stacked and mask": ((HIDDEN_STATES, MASK), "linear", MEAN_SIZES),
    "mean, list": (LAYERS, "scalar_mix", {}),
}


# Between both classes, every way of input on either implementation.
@on_both(
    ("model_class", "outputs", "form"),
    [(*model, form) for model in MODELS for form in _FORMS],
    {"native": (3, 4, 7, 13), "reference": (0, 6, 10, 11)},
)
def test_model(model_class, outputs, form):
    inputs, pooler, sizes = _FORMS[form]
    num_outputs = outputs.get("num_classes", 1)
    mixed = pooler == "scalar_mix"
    layers = 1 if mixed else 3
    positions = sizes.get("sequence_length", 1)
    check_model(
        model_class,
        {
            **outputs,
            **sizes,
            "units": 4,
            "pooler": pooler,
            "dropout": 0.2,
            "seed": 3,
            "approximate": True,
            "projection_initializer": "he_normal",
            "keep": "recompute",
        },
        inputs,
        output_shape=(4, num_outputs),
        output_dtype="float32",
        num_weights=4 + 2 * mixed,
        num_parameters=(7 * 4 + 4)
        + (positions * layers * 4 * num_outputs + num_outputs)
        + (3 + 1) * mixed,
    )


@pytest.mark.parametrize("each_implementation", ["native"], indirect=True)
def test_saved_models_load_in_a_fresh_process(tmp_path):
    models = [
        model_class(**outputs, units=4, pooler=pooler, **sizes)
        for model_class, outputs in MODELS
        for pooler in ("linear", "scalar_mix")
        for sizes in (SIZES, MEAN_SIZES)
    ]
    check_fresh_process(models, (HIDDEN_STATES, MASK), tmp_path)


@pytest.mark.parametrize(
    ("layers", "features", "units", "num_parameters"),
    [(13, 768, 128, 524_418), (7, 384, 16, 34_834)],
)
def test_parameters_of_the_classifier(layers, features, units, num_parameters):
    model = PoolingClassifier(
        num_classes=2,
        units=units,
        sequence_length=128,
        num_layers=layers,
        hidden_dim=features,
    )
    assert model.count_params() == num_parameters


def test_parameters_of_a_mean_over_tokens():
    model = PoolingClassifier(2, units=16, num_layers=7, hidden_dim=384)
    assert model.count_params() == (384 * 16 + 16) + (7 * 16 * 2 + 2)


def test_summary_counts_what_is_in_no_layer(capsys):
    model = PoolingClassifier(3, units=4, num_layers=2, hidden_dim=5)
    model.summary()
    assert f"All parameters: {model.count_params()}" in capsys.readouterr().out
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    assert "projection (8, 3), bias (3,)" in lines[-1]


def test_projection_starts_as_a_dense_layer_on_the_flattened_features():
    model = PoolingClassifier(
        2,
        units=16,
        sequence_length=128,
        num_layers=7,
        hidden_dim=8,
        projection_initializer=keras.initializers.GlorotUniform(seed=1),
    )
    dense = keras.layers.Dense(
        2, kernel_initializer=keras.initializers.GlorotUniform(seed=1)
    )
    dense.build((None, 128 * 7 * 16))
    np.testing.assert_array_equal(model.projection, dense.kernel)


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
def test_logits_match_float64(as_list, approximate):
    model = PoolingClassifier(3, units=4, approximate=approximate, **SIZES)
    for weight in model.weights:
        weight.assign(RANDOM.normal(size=weight.shape))
    logits = model((LAYERS if as_list else HIDDEN_STATES, MASK))
    kernel, pooling_bias = map(np.float64, model.linear_pooling.weights)
    expected = float64_reference.linear_pooling_projection(
        np.float64(HIDDEN_STATES),
        kernel,
        pooling_bias,
        np.float64(model.projection).reshape(6, 3, 4, 3),
        MASK,
        approximate,
    ).sum(axis=1) + np.float64(model.bias)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("mask", [MASK, None], ids=["mask", "no mask"])
@pytest.mark.parametrize("as_list", [False, True])
def test_mean_over_tokens_matches_float64(as_list, mask):
    model = PoolingClassifier(3, units=4, **MEAN_SIZES)
    for weight in model.weights:
        weight.assign(RANDOM.normal(size=weight.shape))
    inputs = LAYERS if as_list else HIDDEN_STATES
    logits = model(inputs if mask is None else (inputs, mask))
    kernel, pooling_bias = map(np.float64, model.linear_pooling.weights)
    real = np.ones((4, 5), bool) if mask is None else mask
    pooled = float64_reference.linear_pooling(
        np.float64(HIDDEN_STATES), kernel, pooling_bias, real, False
    )
    tokens = np.maximum(real.sum(axis=1), 1)[:, np.newaxis]
    mean = pooled.reshape(4, 5, -1).sum(axis=1) / tokens
    expected = mean @ np.float64(model.projection) + np.float64(model.bias)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("as_list", [False, True])
def test_gradients_of_a_mean_over_tokens(as_list):
    """Against the mean taken of Y, as TensorFlow differentiates it."""
    model = PoolingClassifier(3, units=4, **MEAN_SIZES)
    for weight in model.weights:
        weight.assign(RANDOM.normal(size=weight.shape))
    inputs = LAYERS if as_list else HIDDEN_STATES
    factors = tf.constant(RANDOM.normal(size=(4, 3)), tf.float32)
    projection, bias, kernel, pooling_bias = model.weights
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(factors * model((inputs, MASK), training=True))
    found = tape.gradient(loss, model.trainable_weights)
    with tf.GradientTape() as tape:
        products = tf.tensordot(tf.constant(HIDDEN_STATES), kernel.value, 1)
        pooled = tf.nn.gelu(products + pooling_bias.value)
        pooled *= tf.cast(MASK, tf.float32)[:, :, tf.newaxis, tf.newaxis]
        tokens = np.maximum(MASK.sum(axis=1, keepdims=True), 1)
        mean = tf.reshape(tf.reduce_sum(pooled, axis=1), (4, -1)) / tokens
        outputs = mean @ projection.value + bias.value
        loss = tf.reduce_sum(factors * outputs)
    expected = tape.gradient(loss, [w.value for w in model.weights])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_mean_over_tokens_takes_any_length():
    model = PoolingRegressor(units=4, **MEAN_SIZES)
    twice = np.concatenate([HIDDEN_STATES, HIDDEN_STATES], axis=1)
    np.testing.assert_allclose(model(twice), model(HIDDEN_STATES), atol=1e-6)


@pytest.mark.parametrize("sizes", [SIZES, MEAN_SIZES], ids=["flat", "mean"])
@pytest.mark.parametrize("pooler", ["linear", "scalar_mix"])
@pytest.mark.parametrize(("model_class", "outputs"), MODELS)
def test_padding_changes_nothing(model_class, outputs, pooler, sizes):
    model = model_class(**outputs, units=4, pooler=pooler, **sizes)
    full_length = np.full((4, 6, 3, 7), np.nan, "float32")
    full_length[:, :5][MASK] = HIDDEN_STATES[MASK]
    full_mask = np.pad(MASK, [(0, 0), (0, 1)])

    def predict(hidden_states, mask):
        with tf.GradientTape() as tape:
            predictions = model((hidden_states, mask))
            loss = tf.reduce_sum(predictions**2)
        return predictions, tape.gradient(loss, model.trainable_weights)

    expected, expected_gradients = predict(HIDDEN_STATES, MASK)
    actual, gradients = predict(full_length, full_mask)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, atol=1e-5)
    # A sequence of padding alone leaves the bias of the outputs.
    np.testing.assert_array_equal(actual[3], model.bias)


@pytest.mark.parametrize("as_list", [False, True])
def test_mask_by_argument_or_from_the_layer_before(as_list):
    model = PoolingClassifier(3, units=4, **SIZES)
    inputs = LAYERS if as_list else HIDDEN_STATES
    expected = model((inputs, MASK))
    assert np.abs(expected - model(inputs)).max() > 1e-3
    np.testing.assert_array_equal(model(inputs, mask=MASK), expected)

    # Masking hides the positions whose features are all 9.
    layers = [np.where(MASK[..., None], layer, 9) for layer in LAYERS]
    symbolic = [keras.Input((5, 7)) for _ in layers]
    masked = [keras.layers.Masking(9.0)(layer) for layer in symbolic]
    functional = keras.Model(symbolic, model(masked))
    np.testing.assert_allclose(functional(layers), expected, atol=1e-6)


def test_two_layers_are_not_taken_for_a_mask():
    model = PoolingRegressor(4, 6, num_layers=2, hidden_dim=7)
    stacked = model(HIDDEN_STATES[:, :, :2])
    np.testing.assert_allclose(model(tuple(LAYERS[:2])), stacked, atol=1e-6)
    np.testing.assert_allclose(model(LAYERS[:2]), stacked, atol=1e-6)


def learnable(num_examples=192):
    """The class is the sign of one direction in one layer, at real tokens."""
    random = np.random.default_rng(1)
    hidden_states = random.normal(size=(num_examples, 6, 3, 7))
    mask = np.arange(6) < random.integers(3, 7, size=(num_examples, 1))
    score = (hidden_states[:, :, 1, 2] * mask).sum(axis=1)
    hidden_states[~mask] = np.nan
    return hidden_states.astype("float32"), mask, score


def as_dataset(hidden_states, mask, labels, form):
    if form == "8-bit":
        hidden_states = np.where(mask[..., None, None], hidden_states, 0)
        scales = np.abs(hidden_states).max(-1) / 127 + 1e-9
        values = np.rint(hidden_states / scales[..., None]).astype("int8")
        hidden_states = (values, scales)
    elif form == "list":
        hidden_states = tuple(np.moveaxis(hidden_states, 2, 0))
    dataset = tf.data.Dataset.from_tensor_slices(
        ((hidden_states, mask), labels)
    )
    return dataset.batch(32)


_MASKED_MEAN = {"sequence_length": None}
_LEARNING = (
    ("stacked", {}),
    ("list", {}),
    ("stacked", SIZES),
    ("list", {"dropout": 0.1, "seed": 5}),
    ("stacked", {"pooler": "scalar_mix"}),
    ("stacked", {"dtype": "mixed_bfloat16"}),
    ("list", {"dtype": "mixed_float16"}),
    ("8-bit", {}),
    ("8-bit", {"dtype": "mixed_bfloat16", "dropout": 0.1, "seed": 5}),
    ("8-bit", {"pooler": "scalar_mix", "dtype": "mixed_bfloat16"}),
    ("stacked", _MASKED_MEAN),
    ("8-bit", {**_MASKED_MEAN, "dtype": "mixed_bfloat16"}),
    ("list", {**_MASKED_MEAN, "dropout": 0.1, "seed": 5}),
)


@on_both(
    ("form", "init_kwargs"),
    _LEARNING,
    {"native": (3, 5, 7, 11), "reference": (3, 11)},
)
def test_classifier_learns_from_a_dataset(form, init_kwargs):
    keras.utils.set_random_seed(0)
    hidden_states, mask, score = learnable()
    dataset = as_dataset(hidden_states, mask, score > 0, form)
    model = PoolingClassifier(
        2, units=8, **{"sequence_length": 6, **init_kwargs}
    )
    model.compile(
        keras.optimizers.Adam(0.03),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    before = model.evaluate(dataset, return_dict=True, verbose=0)
    model.fit(dataset, epochs=15, verbose=0)
    after = model.evaluate(dataset, return_dict=True, verbose=0)
    assert after["loss"] < before["loss"] / 2
    assert after["accuracy"] > 0.9
    assert model.predict(dataset, verbose=0).dtype == "float32"


@on_both(
    ("form",), [("stacked",), ("list",)], {"native": (0,), "reference": (1,)}
)
def test_regressor_learns_from_a_dataset(form):
    keras.utils.set_random_seed(0)
    hidden_states, mask, score = learnable()
    dataset = as_dataset(hidden_states, mask, score, form)
    model = PoolingRegressor(units=8, sequence_length=6)
    model.compile(keras.optimizers.Adam(0.03), "mean_squared_error")
    before = model.evaluate(dataset, verbose=0)
    model.fit(dataset, epochs=15, verbose=0)
    assert model.evaluate(dataset, verbose=0) < before / 4


def test_batches_padded_to_different_lengths_train():
    hidden_states, mask, score = learnable(8)
    pieces = [
        ((hidden_states[:4, :length], mask[:4, :length]), score[:4])
        for length in (6, 3, 5)
    ]
    spec = (
        (
            tf.TensorSpec((None, None, 3, 7), tf.float32),
            tf.TensorSpec((None, None), tf.bool),
        ),
        tf.TensorSpec((None,), tf.float32),
    )
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(pieces), output_signature=spec
    )
    model = PoolingRegressor(units=8, sequence_length=6)
    model.compile("adam", "mean_squared_error")
    history = model.fit(dataset, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_dropout_acts_in_training_only_and_keeps_the_mean():
    model = PoolingRegressor(8, dropout=0.5, seed=7, **SIZES)
    same = PoolingRegressor(8, dropout=0.5, seed=7, **SIZES)
    same.set_weights(model.get_weights())
    inputs = (HIDDEN_STATES, MASK)
    quiet = model(inputs)
    np.testing.assert_array_equal(model(inputs), quiet)
    noisy = np.stack([model(inputs, training=True) for _ in range(150)])
    np.testing.assert_array_equal(same(inputs, training=True), noisy[0])
    assert (noisy[0, 0] != noisy[1, 0]).all()
    standard_error = noisy.std(axis=0) / 150**0.5
    error = np.abs(noisy.mean(axis=0) - quiet)
    assert (error <= 5 * standard_error).all()


@pytest.mark.parametrize(
    ("model_class", "arguments", "message"),
    [
        (PoolingClassifier, {"num_classes": 0}, "num_classes: received 0"),
        (PoolingRegressor, {"num_outputs": 0}, "num_outputs: received 0"),
        (PoolingRegressor, {"units": 0}, "units: received 0, expected a posi"),
        (PoolingRegressor, {"sequence_length": 0}, "sequence_length: rec"),
        (PoolingRegressor, {"num_layers": -1}, "num_layers: received -1"),
        (PoolingRegressor, {"hidden_dim": 0}, "hidden_dim: received 0"),
        (PoolingRegressor, {"dropout": 1}, "dropout: received 1, expected a"),
        (PoolingRegressor, {"dropout": -0.1}, "dropout: received -0.1"),
        (PoolingRegressor, {"pooler": "mean"}, "pooler: received 'mean', exp"),
    ],
)
def test_a_bad_argument_is_named(model_class, arguments, message):
    good = {"units": 4, **SIZES}
    if model_class is PoolingClassifier:
        good["num_classes"] = 2
    model_class(**good)
    with pytest.raises(ArgumentError, match=message) as error:
        model_class(**{**good, **arguments})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pooler", ["linear", "scalar_mix"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 5, 2, 7), "received 2 layers, expected"),
        ((4, 5, 3, 6), "received 6 features, expected 7"),
        ((4, 7, 3, 7), "sequence_length: received hidden states of 7 tokens"),
    ],
)
def test_hidden_states_of_another_size_are_refused(
    shape, message, pooler, training
):
    model = PoolingRegressor(4, dropout=0.1, pooler=pooler, **SIZES)
    with pytest.raises(ArgumentError, match=message):
        model(np.ones(shape), training=training)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_layers": 4}, "num_layers: received hidden states with 3, exp"),
        ({"hidden_dim": 8}, "hidden_dim: received hidden states with 7, exp"),
    ],
)
def test_first_input_must_agree_with_the_size_given(sizes, message):
    model = PoolingRegressor(4, sequence_length=6, **sizes)
    with pytest.raises(ArgumentError, match=message):
        model(HIDDEN_STATES)


def test_fit_names_the_wrong_size():
    model = PoolingRegressor(4, sequence_length=4)
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(ArgumentError, match="sequence_length: received"):
        model.fit(HIDDEN_STATES, np.ones(4), verbose=0)


@pytest.mark.parametrize("pooler", ["linear", "scalar_mix"])
@pytest.mark.parametrize("as_list", [False, True])
def test_8_bit_hidden_states_are_values_times_scales(as_list, pooler):
    model = PoolingRegressor(units=4, pooler=pooler, **SIZES)
    kernel = model.linear_pooling.kernel
    kernel.assign(tf.cast(tf.cast(kernel, "bfloat16"), "float32"))
    quantized = (VALUES, SCALES)
    if as_list:
        quantized = tuple(
            [array[:, :, i] for i in range(3)] for array in quantized
        )
    expected = model((VALUES * SCALES[..., None], MASK))
    np.testing.assert_allclose(model((quantized, MASK)), expected, atol=1e-5)
    np.testing.assert_allclose(model(quantized, mask=MASK), expected, atol=1e-5)
