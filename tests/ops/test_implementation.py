"""Which implementation a call takes."""

import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError, NativeLibraryError
from bvkeras.layers.linear_pooling import LinearPooling
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.ops import library, native
from bvkeras.ops.implementation import reference_only, takes_native
from bvkeras.ops.linear_pooling import linear_pooling
from tests.native import require_native

HIDDEN_STATES = np.random.default_rng(0).normal(size=(4, 6, 3, 7))
HIDDEN_STATES = HIDDEN_STATES.astype("float32")
SIZES = {"sequence_length": 6, "num_layers": 3, "hidden_dim": 7}


@pytest.fixture(autouse=True)
def _no_choice_in_the_environment(monkeypatch):
    monkeypatch.delenv("BVKERAS_IMPLEMENTATION", raising=False)


@pytest.fixture
def no_library(monkeypatch):
    """As where the library was not built."""
    monkeypatch.setattr(library, "_load", lambda: (None, "not built"))


def pool(implementation="auto", hidden_states=HIDDEN_STATES):
    return linear_pooling(
        hidden_states,
        tf.ones((7, 2), hidden_states.dtype),
        None,
        implementation=implementation,
    )


def took_native(function):
    """Whether a call runs native operations, by the graph it leaves."""
    graph = tf.function(function).get_concrete_function().graph
    names = {node.op for node in graph.as_graph_def().node}
    names |= {
        node.op
        for library_function in graph.as_graph_def().library.function
        for node in library_function.node_def
    }
    return any(name.startswith("Bvkeras") for name in names)


@pytest.mark.parametrize(
    ("argument", "environment", "expected"),
    [
        ("auto", None, True),
        ("auto", "", True),
        ("auto", "auto", True),
        ("auto", "native", True),
        ("auto", "reference", False),
        ("native", "reference", True),
        ("reference", "native", False),
    ],
)
def test_argument_wins_over_environment(
    argument, environment, expected, monkeypatch
):
    require_native()
    if environment is not None:
        monkeypatch.setenv("BVKERAS_IMPLEMENTATION", environment)
    assert took_native(lambda: pool(argument)) == expected


@pytest.mark.parametrize("implementation", ["auto", "native"])
def test_float64_takes_the_reference(implementation):
    assert not took_native(
        lambda: pool(implementation, np.float64(HIDDEN_STATES))
    )


def test_unknown_names_are_refused(monkeypatch):
    with pytest.raises(ArgumentError, match="implementation: received 'fast'"):
        pool("fast")
    with pytest.raises(ArgumentError, match="implementation: received 'fast'"):
        LinearPooling(4, implementation="fast")
    with pytest.raises(ArgumentError, match="keep: received 'all', expected"):
        PoolingClassifier(2, 4, keep="all", **SIZES)
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "fast")
    with pytest.raises(ArgumentError, match="BVKERAS_IMPLEMENTATION: rec"):
        pool()


def test_without_the_library(no_library):
    assert not took_native(pool)
    with pytest.raises(NativeLibraryError, match="not built; in a checkout"):
        pool("native")


def test_a_gpu_that_could_be_used_takes_the_reference(monkeypatch):
    require_native()
    assert takes_native("auto", tf.float32)
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [f"/{kind}:0"]
    )
    assert not takes_native("auto", tf.float32)
    monkeypatch.setattr(library, "check_driver", lambda: None)
    assert takes_native("native", tf.float32)


def test_reference_only_holds_in_its_thread_and_nests():
    require_native()
    with reference_only():
        with reference_only():
            assert not took_native(lambda: pool("native"))
        assert not took_native(lambda: pool("native"))
        found = []
        other = threading.Thread(
            target=lambda: found.append(took_native(lambda: pool("native")))
        )
        other.start()
        other.join()
        assert found == [True]
    assert took_native(pool)


def test_xla_takes_the_reference():
    require_native()
    inner = tf.function(lambda values: pool(hidden_states=values))

    @tf.function(jit_compile=True)
    def compiled(values):
        return pool(hidden_states=values), inner(values)

    values = tf.constant(HIDDEN_STATES)
    for output in compiled(values):
        np.testing.assert_allclose(output, pool(), atol=1e-6)


def test_native_inside_xla_is_refused():
    require_native()
    with pytest.raises(
        ArgumentError, match="implementation='reference', or jit_compile=False"
    ):
        tf.function(lambda: pool("native"), jit_compile=True, autograph=False)()


@pytest.mark.parametrize("jit_compile", ["auto", True])
def test_compiled_model_does_not_take_xla(jit_compile):
    model = PoolingClassifier(2, 4, **SIZES)
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    assert not model.jit_compile
    model.fit(HIDDEN_STATES, np.arange(4) % 2, verbose=0)


def test_a_model_keeps_a_stash_only_in_training(monkeypatch):
    require_native()
    original, stashes = native.linear_pooling_projection, []

    def spy(*args, **kwargs):
        stashes.append(kwargs["stash_type"])
        return original(*args, **kwargs)

    monkeypatch.setattr(native, "linear_pooling_projection", spy)
    model = PoolingClassifier(2, 4, **SIZES)
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(HIDDEN_STATES, np.arange(4) % 2, verbose=0)
    assert stashes[-1] == "float32"
    stashes.clear()
    model.predict(HIDDEN_STATES, verbose=0)
    model(HIDDEN_STATES)
    assert set(stashes) == {"none"}
    for keep, expected in (("bfloat16", "bfloat16"), ("recompute", "none")):
        other = PoolingClassifier(2, 4, keep=keep, **SIZES)
        other(HIDDEN_STATES, training=True)
        assert stashes[-1] == expected


LOAD = """
import sys
import numpy as np
import tensorflow as tf
for name in sys.argv[2:]:
    model = tf.saved_model.load(f"{sys.argv[1]}/{name}")
    serve = model.signatures["serving_default"]
    (argument,) = serve.structured_input_signature[1]
    outputs = serve(
        **{argument: tf.constant(np.load(f"{sys.argv[1]}/inputs.npy"))}
    )
    np.save(f"{sys.argv[1]}/{name}.npy", next(iter(outputs.values())))
assert not any(name.startswith("bvkeras") for name in sys.modules)
"""


def functional_model():
    inputs = keras.Input((6, 3, 7))
    pooled = LinearPooling(4)(inputs)
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(pooled))
    return keras.Model(inputs, outputs)


def test_exports_load_with_tensorflow_alone(tmp_path):
    models = {
        "classifier": PoolingClassifier(2, 4, **SIZES),
        "insisting": PoolingClassifier(2, 4, implementation="native", **SIZES)
        if library.is_available()
        else PoolingClassifier(2, 4, **SIZES),
        "functional": functional_model(),
        "saved": functional_model(),
        "traced": functional_model(),
    }
    np.save(tmp_path / "inputs.npy", HIDDEN_STATES)
    predictions = {}
    for name, model in models.items():
        # Predicting first: the graph it left must not be the one exported.
        predictions[name] = model.predict(HIDDEN_STATES, verbose=0)
        directory = str(tmp_path / name)
        if name == "saved":
            tf.saved_model.save(model, directory)
        elif name == "traced":
            signature = [tf.TensorSpec((None, 6, 3, 7), tf.float32)]
            serve = tf.function(model, input_signature=signature)
            with reference_only():
                concrete = serve.get_concrete_function()
            module = tf.Module()
            module.weights_used = concrete.variables
            tf.saved_model.save(module, directory, signatures=concrete)
        else:
            model.export(directory, verbose=False)
    subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), *models], check=True
    )
    for name, expected in predictions.items():
        actual = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(actual, expected, atol=1e-5)
    if library.is_available():
        assert took_native(lambda: models["functional"](HIDDEN_STATES))
