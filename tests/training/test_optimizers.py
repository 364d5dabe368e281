import keras
import numpy as np
import pytest

from bvkeras.encoders.loading import load_backbone
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.training.optimizers import adamw

RATE, DECAY = 0.5, 0.01


def decayed(model):
    """Names of the variables that a step without gradients makes smaller."""
    optimizer = adamw(RATE, total_steps=1, weight_decay=DECAY)
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    optimizer.apply(
        [np.zeros(variable.shape, np.float32) for variable in variables],
        variables,
    )
    names = {"decayed": [], "kept": []}
    for variable in variables:
        value = variable.numpy()
        kind = "kept" if (value == 1).all() else "decayed"
        expected = 1.0 if kind == "kept" else 1 - RATE * DECAY
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        names[kind].append(variable.path)
    return names


def test_bert_s_kernels_and_embeddings_are_decayed(tiny_bert):
    backbone = load_backbone(tiny_bert).backbone
    names = decayed(finetuning_model(backbone, 2))
    last = {
        kind: {path.split("/")[-1] for path in paths}
        for kind, paths in names.items()
    }
    assert last == {
        "decayed": {"kernel", "embeddings"},
        "kept": {"bias", "gamma", "beta"},
    }
    # Three embeddings, the pooler, the head, and six kernels a layer.
    assert len(names["decayed"]) == 3 + 2 + 2 * 6
    # As many biases as kernels, and two of every LayerNorm.
    assert len(names["kept"]) == 2 + 2 * 6 + 2 * (1 + 2 * 2)


@pytest.mark.parametrize("pooler", ["linear", "scalar_mix"])
def test_bias_of_a_head_is_kept(pooler):
    names = decayed(
        PoolingClassifier(
            num_classes=2,
            units=3,
            sequence_length=4,
            num_layers=3,
            hidden_dim=5,
            pooler=pooler,
        )
    )
    for path in names["kept"] + names["decayed"]:
        assert path.endswith("bias") <= (path in names["kept"])
    assert sum(path.endswith("projection") for path in names["decayed"]) == 1


def test_a_variable_can_have_another_rate():
    names = ("kernel", "projection")
    variables = [keras.Variable(np.ones(3), name=name) for name in names]
    optimizer = adamw(
        RATE, total_steps=1, weight_decay=0, rates={"projection": 0.1}
    )
    optimizer.apply([np.full(3, 0.5, np.float32)] * 2, variables)
    # Adam's first step is the rate, whatever the gradient.
    moved = [1 - variable.numpy() for variable in variables]
    np.testing.assert_allclose(moved[0], RATE, rtol=1e-4)
    np.testing.assert_allclose(moved[1], RATE / 10, rtol=1e-4)


def test_rates_are_saved_with_the_model(tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, name="dense")]
    )
    # Without decay: Keras does not save what it leaves alone.
    optimizer = adamw(RATE, 9, weight_decay=0, rates={"bias": 0.5})
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for anew in (model, loaded):
        anew.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert loaded.optimizer.rates == {"bias": 0.5}
    for weight, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("norm", "clipped"), [(0.5, 0.5), (1.0, 1.0), (100.0, 1.0), (1e15, 1.0)]
)
def test_gradients_are_clipped_to_a_global_norm_of_1(norm, clipped):
    variables = [keras.Variable(np.ones(4)), keras.Variable(np.ones((2, 6)))]
    gradients = [
        np.full(variable.shape, norm / 4, np.float32) for variable in variables
    ]
    optimizer = adamw(1e-3, total_steps=10)
    optimizer.apply(gradients, variables)
    # After one step Adam's first moment is a tenth of the gradient.
    moments = [
        variable.numpy().ravel() * 10
        for variable in optimizer.variables
        if variable.name.endswith("momentum")
    ]
    assert len(moments) == 2
    np.testing.assert_allclose(
        np.linalg.norm(np.concatenate(moments)), clipped, rtol=1e-5
    )
