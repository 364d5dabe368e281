"""One encoder with several heads, as a Keras model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import bvkeras
from bvkeras.errors import ArgumentError
from bvkeras.layers.gelu import get_hidden_act
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.models import (
    PoolingClassifier,
    PoolingRegressor,
    PoolingSpanModel,
)
from bvkeras.ops.span_logits import MASKED_LOGIT
from bvkeras.serving import export, tasks_of_model

TEXTS = ["the cat sat", "a b c " * 5]


@pytest.fixture
def encoder(tiny_bert):
    return bvkeras.load_backbone(tiny_bert)


@pytest.fixture
def model(encoder):
    return bvkeras.MultiTaskModel(
        encoder.backbone,
        {
            "sst2": PoolingClassifier(2, 4, 32),
            "score": PoolingRegressor(3, 32, pooler="scalar_mix"),
            "squad_v2": PoolingSpanModel(4),
        },
    )


@pytest.fixture
def batch(encoder):
    return encoder.preprocess(TEXTS, ["dog", "ran"], max_tokens=32)


def test_heads_give_what_they_give_alone(model, encoder, batch):
    outputs = model(batch)
    states = HiddenStates(encoder.backbone)(batch)
    mask = batch["padding_mask"].astype(bool)
    for name in ("sst2", "score"):
        expected = model.heads[name]((states, mask))
        np.testing.assert_array_equal(outputs[name], expected)
    logits = outputs["squad_v2"].numpy()
    assert logits.shape == (*mask.shape, 2)
    in_question = (batch["segment_ids"] == 0) & (np.arange(mask.shape[1]) > 0)
    assert (logits[in_question] == MASKED_LOGIT).all()
    assert (logits[:, 0] != MASKED_LOGIT).all()


def test_one_task_trains_its_head_alone(model, batch):
    before = {n: h.get_weights() for n, h in model.heads.items()}
    encoder_before = model.backbone.get_weights()
    task = model.for_task("sst2")
    task.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    task.fit(batch, np.array([0, 1]), verbose=0)
    for name, weights in before.items():
        changed = any(
            (a != b).any()
            for a, b in zip(
                weights, model.heads[name].get_weights(), strict=True
            )
        )
        assert changed == (name == "sst2")
    for a, b in zip(encoder_before, model.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_encoder_has_no_dropout_in_training(model, batch):
    # The checkpoint's dropout is 0.1, the heads' is 0.
    trained = model(batch, training=True)
    predicted = model(batch)
    for name, value in predicted.items():
        np.testing.assert_array_equal(trained[name], value)


def test_encoder_is_trained_if_asked(encoder, batch):
    heads = {"sst2": PoolingClassifier(2, 4, 32)}
    frozen = bvkeras.MultiTaskModel(encoder.backbone, heads)
    head_weights = len(heads["sst2"].trainable_weights)
    assert len(frozen.trainable_weights) == head_weights
    encoder.backbone.trainable = True
    model = bvkeras.MultiTaskModel(encoder.backbone, heads, train_encoder=True)
    assert len(model.trainable_weights) > head_weights


def test_saved_and_loaded_it_is_the_same(model, batch, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert get_hidden_act(loaded.backbone) == get_hidden_act(model.backbone)
    expected = model(batch)
    found = loaded(batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert not loaded.train_encoder


def test_it_is_exported_under_its_names(model, encoder, batch, tmp_path):
    specs = {
        "sst2": bvkeras.tasks.get("rte"),
        "score": bvkeras.tasks.get("stsb"),
        "squad_v2": bvkeras.tasks.get("squad_v2"),
    }
    tasks = tasks_of_model(model, specs, max_tokens=32)
    path = export(encoder, tasks, tmp_path / "export")
    signatures = tf.saved_model.load(str(path)).signatures
    assert {*specs} < {*signatures}
    texts = {
        "text": tf.constant(TEXTS),
        "text_b": tf.constant(["dog", "ran"]),
    }
    expected = model(encoder.preprocess(TEXTS, ["dog", "ran"], max_tokens=32))
    np.testing.assert_allclose(
        signatures["score"](**texts)["score"],
        expected["score"][:, 0],
        atol=1e-5,
    )
    with pytest.raises(ArgumentError, match="specs: expected one for score"):
        tasks_of_model(model, {"sst2": specs["sst2"], "squad_v2": None}, 32)


def test_wrong_arguments_are_named(encoder, model):
    backbone = encoder.backbone
    with pytest.raises(ArgumentError, match="heads: received none"):
        bvkeras.MultiTaskModel(backbone, {})
    with pytest.raises(ArgumentError, match="'a' is a Dense"):
        bvkeras.MultiTaskModel(backbone, {"a": keras.layers.Dense(2)})
    with pytest.raises(ArgumentError, match="the name 'a/b'"):
        bvkeras.MultiTaskModel(backbone, {"a/b": PoolingSpanModel(2)})
    other = PoolingSpanModel(2, num_layers=5, hidden_dim=16)
    with pytest.raises(ArgumentError, match=r"'a' is for \(5, 16\)"):
        bvkeras.MultiTaskModel(backbone, {"a": other})
    with pytest.raises(ArgumentError, match="name: received 'x'"):
        model.for_task("x")
