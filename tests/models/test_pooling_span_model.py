import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.models.span_cross_entropy import SpanCrossEntropy
from bvkeras.ops.span_logits import MASKED_LOGIT
from tests.layer_checks import check_fresh_process, check_model, on_both
from tests.ops import float64_reference

pytestmark = pytest.mark.usefixtures("each_implementation")

RANDOM = np.random.default_rng(0)
HIDDEN_STATES = RANDOM.normal(size=(4, 5, 3, 7)).astype("float32")
LAYERS = [np.ascontiguousarray(HIDDEN_STATES[:, :, i]) for i in range(3)]
# [CLS], then a question, then a context, then padding.
MASK = np.array(
    [[1, 0, 1, 1, 1], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool
)
VALUES = RANDOM.integers(-127, 128, size=(4, 5, 3, 7)).astype("int8")
SCALES = RANDOM.uniform(0.001, 0.02, size=(4, 5, 3)).astype("float32")
SIZES = {"num_layers": 3, "hidden_dim": 7}


@on_both(
    ("inputs", "pooler", "sizes"),
    [
        (HIDDEN_STATES, "linear", {}),
        (HIDDEN_STATES, "linear", SIZES),
        (LAYERS, "linear", {}),
        ((HIDDEN_STATES, np.ones((4, 5), bool)), "linear", SIZES),
        (HIDDEN_STATES, "scalar_mix", {}),
        (LAYERS, "scalar_mix", SIZES),
    ],
    {"native": (2, 3), "reference": (0, 5)},
)
def test_a_model_like_any_other(inputs, pooler, sizes):
    layers = 1 if pooler == "scalar_mix" else 3
    parameters = 4 * 7 + 4 + 2 * (layers * 4) + 2
    check_model(
        PoolingSpanModel,
        {"units": 4, "pooler": pooler, **sizes},
        inputs,
        output_shape=(4, 5, 2),
        num_weights=4 + 2 * (pooler == "scalar_mix"),
        num_parameters=parameters + 4 * (pooler == "scalar_mix"),
        output_dtype="float32",
    )


@pytest.mark.parametrize("each_implementation", ["native"], indirect=True)
def test_saved_model_opens_in_a_fresh_process(tmp_path):
    model = PoolingSpanModel(4, **SIZES)
    check_fresh_process([model], (HIDDEN_STATES, MASK), tmp_path)


def test_the_papers_size():
    model = PoolingSpanModel(384, num_layers=13, hidden_dim=768)
    assert model.count_params() == 305_282


def test_logits_are_those_of_algorithm_1():
    model = PoolingSpanModel(4, **SIZES)
    model.bias.assign([0.25, -0.5])
    pooled = float64_reference.linear_pooling(
        HIDDEN_STATES,
        model.linear_pooling.kernel.numpy(),
        model.linear_pooling.bias.numpy(),
        mask=np.ones((4, 5)),
        approximate=False,
    )
    projection = model.projection.numpy().reshape(3, 4, 2)
    expected = np.einsum("btla,lac->btc", pooled, projection)
    expected += np.array([0.25, -0.5])
    logits = model((HIDDEN_STATES, MASK)).numpy()
    np.testing.assert_allclose(logits[MASK], expected[MASK], atol=1e-5)
    assert (logits[~MASK] == MASKED_LOGIT).all()
    unmasked = model(HIDDEN_STATES).numpy()
    np.testing.assert_allclose(unmasked, expected, atol=1e-5)


def test_what_is_masked_reaches_neither_outputs_nor_gradients():
    model = PoolingSpanModel(4, **SIZES)
    dirty = np.where(MASK[..., None, None], HIDDEN_STATES, np.nan)
    results = []
    for states in (HIDDEN_STATES, dirty):
        with tf.GradientTape() as tape:
            logits = model((states, MASK), training=True)
            loss = SpanCrossEntropy()(np.zeros((4, 2), int), logits)
        gradients = tape.gradient(loss, model.trainable_weights)
        results.append([logits, loss, *gradients])
    for clean, other in zip(*results, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(other, clean, atol=1e-6)


def test_padding_changes_nothing():
    model = PoolingSpanModel(4, **SIZES)
    expected = model((HIDDEN_STATES, MASK)).numpy()
    longer = np.pad(HIDDEN_STATES, ((0, 0), (0, 3), (0, 0), (0, 0)))
    logits = model((longer, np.pad(MASK, ((0, 0), (0, 3))))).numpy()
    np.testing.assert_allclose(logits[:, :5], expected, atol=1e-6)
    assert (logits[:, 5:] == MASKED_LOGIT).all()


def test_mask_by_argument_and_of_integers():
    model = PoolingSpanModel(4, **SIZES)
    expected = model((HIDDEN_STATES, MASK))
    np.testing.assert_array_equal(model(HIDDEN_STATES, mask=MASK), expected)
    integers = MASK.astype("int32")
    # A list of layers is summed in another order.
    np.testing.assert_allclose(
        model((LAYERS, integers)), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("as_list", [False, True])
def test_8_bit_hidden_states_are_values_times_scales(as_list):
    model = PoolingSpanModel(4, **SIZES)
    kernel = model.linear_pooling.kernel
    kernel.assign(tf.cast(tf.cast(kernel, "bfloat16"), "float32"))
    quantized = (VALUES, SCALES)
    if as_list:
        quantized = tuple(
            [array[:, :, i] for i in range(3)] for array in quantized
        )
    expected = model((VALUES * SCALES[..., None], MASK))
    np.testing.assert_allclose(model((quantized, MASK)), expected, atol=1e-5)


@on_both(
    ("settings",),
    [({},), ({"dropout": 0.1, "seed": 5},)],
    {"native": (1,), "reference": (0,)},
)
def test_it_learns_to_find_a_token(settings):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(1)
    states = random.normal(size=(256, 9, 3, 7)).astype("float32")
    mask = np.arange(9) < random.integers(6, 10, size=(256, 1))
    mask[:, 1] = False
    # An answer stands where one feature of one layer is the largest.
    spans = np.stack(
        [
            np.where(mask, states[:, :, layer, 2], -9).argmax(1)
            for layer in (0, 2)
        ],
        axis=1,
    )
    model = PoolingSpanModel(8, **settings)
    model.compile(keras.optimizers.Adam(0.03), SpanCrossEntropy())
    before = model.evaluate((states, mask), spans, verbose=0)
    model.fit((states, mask), spans, epochs=15, verbose=0)
    assert model.evaluate((states, mask), spans, verbose=0) < before / 3
    found = model.predict((states, mask), verbose=0).argmax(1)
    assert (found == spans).mean() > 0.85


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units: received 0, expected a positive"),
        ({"dropout": 1}, "dropout: received 1"),
        ({"pooler": "mean"}, "pooler: received 'mean'"),
        ({"num_layers": 0}, "num_layers: received 0"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        PoolingSpanModel(**{"units": 4, **SIZES, **arguments})


def test_hidden_states_of_another_size_are_refused():
    model = PoolingSpanModel(4, **SIZES)
    with pytest.raises(ArgumentError, match="received 2 layers, expected"):
        model(HIDDEN_STATES[:, :, :2])
