import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.training.optimizers import adamw
from bvkeras.training.rated_adamw import RatedAdamW

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


STEPS = {"learning_rate": 0.125, "weight_decay": 0.02, "epsilon": 1e-6}


def some_gradients():
    random = np.random.default_rng(0)
    shapes = ((3, 2), (4,), (), (0, 2))
    start = [random.normal(size=shape) for shape in shapes]
    return start, [
        [random.normal(size=shape) * scale for shape in shapes]
        for scale in (1e-4, 1, 1e3)
    ]


def moved_by(optimizer, dtype, traced):
    """The variables after three steps."""
    start, gradients = some_gradients()
    variables = [keras.Variable(value, dtype=dtype) for value in start]
    optimizer.build(variables)

    def step(gradients):
        optimizer.apply(gradients, variables)

    step = tf.function(step) if traced else step
    for values in gradients:
        step([tf.constant(value, dtype) for value in values])
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("traced", [True, False])
def test_steps_are_those_of_keras(traced):
    settings = {**STEPS, "clipnorm": 2.0}
    found = moved_by(RatedAdamW(**settings), "float32", traced)
    wanted = moved_by(keras.optimizers.AdamW(**settings), "float32", traced)
    for value, expected in zip(found, wanted, strict=True):
        # 1 - 0.999 ** step has four digits in float32.
        np.testing.assert_allclose(value, expected, 2e-5, 2e-5)


def test_steps_are_those_of_the_formula():
    wanted, all_gradients = some_gradients()
    means = [np.zeros_like(value) for value in wanted]
    squares = [np.zeros_like(value) for value in wanted]
    rate, decay, epsilon = STEPS.values()
    for step, gradients in enumerate(all_gradients, 1):
        for i, gradient in enumerate(gradients):
            wanted[i] = wanted[i] * (1 - rate * float(np.float32(decay)))
            means[i] = 0.9 * means[i] + 0.1 * gradient
            squares[i] = 0.999 * squares[i] + 0.001 * gradient**2
            mean, square = means[i] / (1 - 0.9**step), squares[i]
            root = np.sqrt(square) / np.sqrt(1 - 0.999**step)
            # Epsilon beside the root as it is: Kingma and Ba, section 2.
            scaled = epsilon / np.sqrt(1 - 0.999**step)
            wanted[i] = wanted[i] - rate * mean / (root + scaled)
    found = moved_by(RatedAdamW(**STEPS), "float64", traced=True)
    for value, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(value, expected, 1e-10, 1e-10)


def test_amsgrad_is_refused():
    with pytest.raises(ArgumentError, match="amsgrad"):
        RatedAdamW(amsgrad=True)


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
