import keras
import numpy as np
import tensorflow as tf

from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.models.span_cross_entropy import SpanCrossEntropy
from bvkeras.ops.span_logits import MASKED_LOGIT
from tests import fresh_process

SPANS = np.array([[2, 3], [0, 0], [1, 3]])


def test_loss_is_the_mean_of_both_cross_entropies():
    random = np.random.default_rng(0)
    logits = random.normal(size=(3, 5, 2)).astype(np.float32)
    logits[:, 4] = MASKED_LOGIT
    expected = []
    for row, span in enumerate(SPANS):
        for side, token in enumerate(span):
            powers = np.exp(logits[row, :4, side].astype(np.float64))
            expected.append(-np.log(powers[token] / powers.sum()))
    found = float(SpanCrossEntropy()(SPANS, logits))
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-6)


def test_gradient_is_finite_where_logits_are_masked():
    logits = tf.Variable(np.full((3, 5, 2), MASKED_LOGIT, np.float32))
    logits[:, :4].assign(np.zeros((3, 4, 2), np.float32))
    with tf.GradientTape() as tape:
        loss = SpanCrossEntropy()(SPANS, logits)
    gradient = tape.gradient(loss, logits).numpy()
    np.testing.assert_allclose(float(loss), np.log(4), rtol=1e-6)
    assert (gradient[:, 4] == 0).all()
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-7)


def test_loss_can_be_stored():
    config = keras.saving.serialize_keras_object(SpanCrossEntropy(name="x"))
    loss = keras.saving.deserialize_keras_object(config)
    assert isinstance(loss, SpanCrossEntropy)
    assert loss.name == "x"


def test_compiled_model_opens_in_a_fresh_process(tmp_path):
    model = PoolingSpanModel(4, num_layers=3, hidden_dim=7)
    model.compile("adam", SpanCrossEntropy())
    model.fit(np.ones((3, 5, 3, 7)), SPANS, verbose=0)
    model.save(tmp_path / "model.keras")
    script = (
        "import sys, keras, bvkeras\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "print(type(model.loss).__name__)"
    )
    done = fresh_process.run("-c", script, tmp_path / "model.keras", check=True)
    assert done.stdout.strip() == "SpanCrossEntropy"
