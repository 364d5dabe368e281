import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.ops.span_logits import (
    MASKED_LOGIT,
    answer_positions,
    masked_logits,
)

# [CLS] ? [SEP] three of a context [SEP] padding; then one without padding,
# one without a context, and padding alone.
SEGMENTS = np.array(
    [
        [0, 0, 0, 1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.int32,
)
POSITIONS = np.array(
    [
        [1, 0, 0, 1, 1, 1, 0, 0, 0],
        [1, 0, 1, 1, 1, 1, 1, 1, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    bool,
)


@pytest.mark.parametrize("kind", ["eager", "graph", "symbolic"])
def test_answers_are_in_the_context_or_at_cls(kind):
    function = answer_positions
    if kind == "graph":
        function = tf.function(answer_positions)
    elif kind == "symbolic":
        inputs = keras.Input((None,), dtype="int32")
        function = keras.Model(inputs, answer_positions(inputs))
    found = np.asarray(function(tf.constant(SEGMENTS)))
    np.testing.assert_array_equal(found.astype(bool), POSITIONS)


def test_masked_logits_are_nothing_to_softmax_and_gradient():
    logits = tf.random.stateless_normal((4, 9, 2), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        masked = masked_logits(logits, tf.constant(POSITIONS))
        shares = tf.nn.softmax(masked, axis=1)
        loss = tf.reduce_sum(shares**2)
    gradient = tape.gradient(loss, logits).numpy()
    keep = np.broadcast_to(POSITIONS[..., None], masked.shape)
    np.testing.assert_array_equal(masked[keep], logits[keep])
    assert (masked.numpy()[~keep] == MASKED_LOGIT).all()
    assert (shares.numpy()[~keep] == 0).all()
    np.testing.assert_allclose(shares.numpy().sum(1), 1, rtol=1e-6)
    assert (gradient[~keep] == 0).all()
    assert np.isfinite(gradient).all()


def test_sum_of_two_masked_logits_is_a_number():
    total = np.float32(MASKED_LOGIT) + np.float32(MASKED_LOGIT)
    assert np.isfinite(total)
