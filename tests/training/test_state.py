import keras
import numpy as np
import pytest
import safetensors.numpy

from bvkeras.errors import RunError
from bvkeras.schema import COUNT, record_of
from bvkeras.training.state import (
    load_state,
    read_progress,
    save_state,
    seed_dropout,
    state_variables,
)


def make_model(seed=0):
    # More than ten tensors, so that their order as text matters.
    layers = [keras.layers.Input((4,))]
    for number in range(6):
        layers.append(keras.layers.Dense(4, name=f"dense_{number}"))
        layers.append(keras.layers.Dropout(0.5, seed=seed))
    return keras.Sequential(layers)


def test_state_round_trip(tmp_path):
    model, progress = make_model(), {"step": 7, "name": "Zoë", "loss": [0.5]}
    for number, variable in enumerate(state_variables(model)):
        variable.assign(np.full(variable.shape, number))
    save_state(tmp_path / "state", state_variables(model), progress)
    other = make_model(seed=9)
    assert load_state(tmp_path / "state", state_variables(other)) == progress
    assert read_progress(tmp_path / "state") == progress
    for number, variable in enumerate(state_variables(other)):
        assert (variable.numpy() == number).all()


def test_state_brings_dropout_back(tmp_path):
    model, inputs = make_model(), np.ones((3, 4), np.float32)
    model(inputs, training=True)
    save_state(tmp_path / "state", state_variables(model), {})
    expected = model(inputs, training=True).numpy()
    other = make_model(seed=9)
    load_state(tmp_path / "state", state_variables(other))
    np.testing.assert_array_equal(other(inputs, training=True), expected)


def test_state_of_another_model(tmp_path):
    save_state(tmp_path / "state", state_variables(make_model()), {})
    smaller = keras.Sequential([keras.layers.Input((4,))])
    with pytest.raises(RunError, match="state of another model"):
        load_state(tmp_path / "state", state_variables(smaller))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08" + bytes(7) + b'{"x": 1}', b"{" * 99],
)
def test_damaged_state(tmp_path, content):
    path = tmp_path / "state"
    path.write_bytes(content)
    for read in (read_progress, lambda path: load_state(path, [])):
        with pytest.raises(RunError, match=f"{path} is damaged") as error:
            read(path)
        assert str(error.value).isprintable()


def test_state_without_its_record(tmp_path):
    path = tmp_path / "state"
    safetensors.numpy.save_file({}, path)
    with pytest.raises(RunError, match=f"{path}: is not JSON"):
        read_progress(path)
    save_state(path, [], {"step": -1})
    with pytest.raises(RunError, match=f"{path}: step: -1 is less than"):
        read_progress(path, record_of(step=COUNT))


def test_a_number_stays_a_number(tmp_path):
    save_state(tmp_path / "state", [keras.Variable(7)], {})
    restored = keras.Variable(0)
    load_state(tmp_path / "state", [restored])
    assert restored.numpy() == 7


def test_metrics_are_no_state():
    model = make_model()
    before = len(state_variables(model))
    model.compile("adam", "mean_squared_error", metrics=["mae"])
    model.fit(np.ones((2, 4)), np.ones((2, 4)), verbose=0)
    assert len(state_variables(model)) == before == 12 + 6


def test_seed_dropout_depends_on_the_seed_alone():
    inputs = np.ones((3, 4), np.float32)
    outputs = []
    for first, seed in ((1, 5), (2, 5), (1, 6)):
        model = make_model(seed=first)
        model.set_weights([np.ones(w.shape) for w in model.weights])
        seed_dropout(model, seed)
        outputs.append(model(inputs, training=True).numpy())
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (outputs[0] != outputs[2]).any()


def test_seed_dropout_gives_each_layer_its_own():
    model = make_model()
    seed_dropout(model, 5)
    seeds = [tuple(v.numpy()) for v in state_variables(model)[12:]]
    assert len(set(seeds)) == 6
