import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_tagger import PoolingTagger
from bvkeras.models.token_cross_entropy import TokenCrossEntropy
from tests.layer_checks import check_fresh_process, check_model, on_both
from tests.ops import float64_reference

RANDOM = np.random.default_rng(0)
HIDDEN_STATES = RANDOM.normal(size=(4, 5, 3, 7)).astype("float32")
MASK = np.arange(5) < np.array([[5], [3], [1], [4]])
LABELS = np.array(
    [[-1, 2, 0, 1, -1], [-1, 1, -1, -1, -1], [-1] * 5, [-1, 0, 0, -1, -1]]
)
SIZES = {"num_layers": 3, "hidden_dim": 7}


@pytest.mark.usefixtures("each_implementation")
@on_both(
    ("pooler",),
    [("linear",), ("scalar_mix",)],
    {"native": (0,), "reference": (1,)},
)
def test_a_model_like_any_other(pooler):
    layers = 1 if pooler == "scalar_mix" else 3
    parameters = 4 * 7 + 4 + 3 * (layers * 4) + 3
    check_model(
        PoolingTagger,
        {"num_classes": 3, "units": 4, "pooler": pooler, **SIZES},
        HIDDEN_STATES,
        output_shape=(4, 5, 3),
        num_weights=4 + 2 * (pooler == "scalar_mix"),
        num_parameters=parameters + 4 * (pooler == "scalar_mix"),
        output_dtype="float32",
    )


@pytest.mark.usefixtures("each_implementation")
def test_logits_are_those_of_every_token():
    model = PoolingTagger(3, 4, **SIZES)
    model.bias.assign([0.25, -0.5, 1.0])
    pooled = float64_reference.linear_pooling(
        HIDDEN_STATES,
        model.linear_pooling.kernel.numpy(),
        model.linear_pooling.bias.numpy(),
        mask=MASK,
        approximate=False,
    )
    projection = model.projection.numpy().reshape(3, 4, 3)
    expected = np.einsum("btla,lac->btc", pooled, projection)
    expected += np.array([0.25, -0.5, 1.0])
    logits = model((HIDDEN_STATES, MASK)).numpy()
    np.testing.assert_allclose(logits[MASK], expected[MASK], atol=1e-5)
    np.testing.assert_allclose(logits[~MASK], [[0.25, -0.5, 1.0]] * 7)


@pytest.mark.usefixtures("each_implementation")
def test_gradients_are_those_of_the_labelled_tokens():
    model = PoolingTagger(3, 4, **SIZES)
    states = tf.Variable(HIDDEN_STATES)
    with tf.GradientTape() as tape:
        loss = TokenCrossEntropy()(LABELS, model((states, MASK)))
    kernel, bias = tape.gradient(loss, [model.projection, model.bias])
    logits = model((HIDDEN_STATES, MASK)).numpy().astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labelled = LABELS >= 0
    wrong = (shares - np.eye(3)[LABELS])[labelled] / labelled.sum()
    np.testing.assert_allclose(bias, wrong.sum(0), atol=1e-6)
    pooled = model.linear_pooling(HIDDEN_STATES, mask=MASK).numpy()
    expected = np.einsum("nla,nc->lac", pooled[labelled], wrong)
    np.testing.assert_allclose(
        kernel, expected.reshape(12, 3), rtol=1e-4, atol=1e-6
    )


def test_loss_is_the_mean_over_labelled_tokens():
    logits = RANDOM.normal(size=(4, 5, 3)).astype(np.float32)
    powers = np.exp(logits.astype(np.float64))
    losses = -np.log(powers / powers.sum(-1, keepdims=True))
    rows, tokens = np.nonzero(LABELS >= 0)
    expected = losses[rows, tokens, LABELS[rows, tokens]].mean()
    found = float(TokenCrossEntropy()(LABELS, logits))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Labels as a cache keeps them, wider than a batch.
    wide = np.pad(LABELS, ((0, 0), (0, 3)), constant_values=-1)
    assert float(TokenCrossEntropy()(wide, logits)) == found


def test_of_no_label_there_is_no_loss():
    logits = tf.Variable(np.ones((2, 3, 4), np.float32))
    with tf.GradientTape() as tape:
        loss = TokenCrossEntropy()(np.full((2, 3), -1), logits)
    assert float(loss) == 0
    assert not tape.gradient(loss, logits).numpy().any()


def test_it_is_fitted_and_opens_in_a_fresh_process(tmp_path):
    model = PoolingTagger(3, 4, **SIZES)
    model.compile(keras.optimizers.Adam(0.05), TokenCrossEntropy())
    losses = model.fit(
        (HIDDEN_STATES, MASK), LABELS, epochs=40, verbose=0
    ).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    check_fresh_process([model], (HIDDEN_STATES, MASK), tmp_path)


def test_one_class_is_refused():
    with pytest.raises(ArgumentError, match="num_classes: received 1"):
        PoolingTagger(1, 4)
