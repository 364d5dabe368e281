"""Heads trained side by side come to what each comes to alone."""

import dataclasses

import keras
import numpy as np
import pytest

from bvkeras.errors import ArgumentError
from bvkeras.tuning import stacked_heads
from bvkeras.tuning.stacked_heads import StackedHeads
from tests.tuning.made_searches import (
    APART,
    CLASSES,
    LABELS,
    SCORES,
    SPACE,
    drawn,
    made_hypermodel,
)

# Another order of sums, a few steps later.
_TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}


def _stacked(model, trials):
    settings = [model.settings(hp) for hp in trials]
    train, _ = model.parts(settings[0].layers)
    return StackedHeads(
        model.task,
        train,
        settings,
        [model.total_steps(own) for own in settings],
        model.batches(train, settings[0].batch_size, 0).element_spec,
        model.scale,
    )


class _Steps(keras.callbacks.Callback):
    """A head's loss and its weights after each step of `fit`."""

    def __init__(self):
        super().__init__()
        self.losses, self.weights = [], []

    def on_train_batch_begin(self, batch, logs=None):
        # The loss of this batch alone, not the mean of all so far.
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        self.weights.append(self.model.get_weights())


def _train_alone(model, train, heads):
    """What each step of a pass makes of heads that are trained alone."""
    steps = []
    for head in heads:
        steps.append(_Steps())
        # A dataset has another order each time it is read: each gets its own.
        batches = model.batches(train, 8, 0)
        head.fit(batches, verbose=0, shuffle=False, callbacks=[steps[-1]])
    return steps


def _assert_same(heads, weights):
    for number, own in enumerate(weights):
        for found, expected in zip(heads.weights(number), own, strict=True):
            np.testing.assert_allclose(found, expected, **_TOLERANCE)


@pytest.mark.parametrize(
    ("task", "pooler", "token_pooling"),
    [
        (CLASSES, "linear", "flatten"),
        (SCORES, "scalar_mix", "flatten"),
        pytest.param(SCORES, "linear", "mean", marks=pytest.mark.full),
        (LABELS, "linear", "mean"),
        pytest.param(CLASSES, "weighted", "mean", marks=pytest.mark.full),
        (APART, "weighted", "mean"),
        pytest.param(LABELS, "weighted", "mean", marks=pytest.mark.full),
        pytest.param(SCORES, "weighted", "mean", marks=pytest.mark.full),
        pytest.param(CLASSES, "scalar_mix", "mean", marks=pytest.mark.full),
        pytest.param(SCORES, "linear", "flatten", marks=pytest.mark.full),
    ],
)
def test_every_step_is_that_of_the_head_alone(
    tmp_path, task, pooler, token_pooling, monkeypatch
):
    # Narrow blocks, so that there are several of a width.
    monkeypatch.setattr(stacked_heads, "_BLOCK_UNITS", 6)
    space = dataclasses.replace(
        SPACE, pooler=pooler, token_pooling=token_pooling
    )
    model = made_hypermodel(tmp_path, task, space)
    trials = drawn(model, 5)
    assert len({hp.values["units"] for hp in trials}) == 2
    assert len({hp.values["dropout"] for hp in trials}) == 2
    heads = _stacked(model, trials)
    alone = [model.build(hp) for hp in trials]
    _assert_same(heads, [one.get_weights() for one in alone])
    train, held_out = model.parts(None)
    steps = _train_alone(model, train, alone)
    batches = list(model.batches(train, 8, 0))
    assert len(batches) == len(steps[0].losses) > 2
    for step, (inputs, labels) in enumerate(batches):
        losses = heads.train(inputs, labels)
        expected = [own.losses[step] for own in steps]
        np.testing.assert_allclose(losses, expected, 1e-4)
        _assert_same(heads, [own.weights[step] for own in steps])
    for inputs, _ in model.scored_batches(held_out):
        found = heads.outputs(inputs)
        for number, one in enumerate(alone):
            expected = one(inputs, training=False).numpy()
            np.testing.assert_allclose(found[number], expected, **_TOLERANCE)


def test_some_layers_in_bfloat16(tmp_path):
    space = dataclasses.replace(SPACE, layers="0+2")
    model = made_hypermodel(tmp_path, space=space, dtype="bfloat16")
    trials = drawn(model, 2)
    heads, alone = _stacked(model, trials), [model.build(hp) for hp in trials]
    train, _ = model.parts((0, 2))
    _train_alone(model, train, alone)
    for inputs, labels in model.batches(train, 8, 0):
        assert inputs[0].shape[2] == 2
        heads.train(inputs, labels)
    # A product of two bfloat16 may fall on either side.
    for number, one in enumerate(alone):
        for found, expected in zip(
            heads.weights(number), one.get_weights(), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=0.02, atol=2e-3)


def test_stopped_head_stays_and_the_others_do_not_notice(tmp_path):
    model = made_hypermodel(tmp_path)
    trials = drawn(model, 4)
    heads, alone = _stacked(model, trials), _stacked(model, trials)
    train, _ = model.parts(None)
    batches = list(model.batches(train, 8, 0))
    for number, (inputs, labels) in enumerate(batches):
        if number == 2:
            heads.stop(1)
            frozen = heads.weights(1)
        heads.train(inputs, labels)
        alone.train(inputs, labels)
    assert heads.live.tolist() == [True, False, True, True]
    for found, expected in zip(heads.weights(1), frozen, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (alone.weights(1)[2] != frozen[2]).any()
    for other in (0, 2, 3):
        for found, expected in zip(
            heads.weights(other), alone.weights(other), strict=True
        ):
            np.testing.assert_allclose(found, expected, **_TOLERANCE)


def test_head_that_diverges_leaves_the_others_alone(tmp_path):
    model = made_hypermodel(tmp_path)
    wild, tame = drawn(model, 2, units=2, dropout=0.0)
    wild.values["learning_rate"] = 1e38
    heads, alone = _stacked(model, [wild, tame]), _stacked(model, [tame])
    train, _ = model.parts(None)
    for inputs, labels in model.batches(train, 8, 0):
        heads.train(inputs, labels)
        alone.train(inputs, labels)
    assert not all(np.isfinite(w).all() for w in heads.weights(0))
    for found, expected in zip(heads.weights(1), alone.weights(0), strict=True):
        np.testing.assert_allclose(found, expected, **_TOLERANCE)


def test_weights_go_out_and_in(tmp_path):
    model = made_hypermodel(tmp_path)
    heads = _stacked(model, drawn(model, 3, units=2, dropout=0.4))
    weights = [w + 1 for w in heads.weights(1)]
    before = heads.weights(2)
    heads.set_weights(1, weights)
    for found, expected in zip(heads.weights(1), weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(heads.weights(2), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_layers_the_cache_does_not_have(tmp_path):
    model = made_hypermodel(tmp_path)
    with pytest.raises(ArgumentError, match=r"layers: expected .* 0 to 2"):
        model.parts((0, 3))
