"""The TensorFlow operation: graphs, tapes, arguments, and its bits."""

import json
import os
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.ops import library, native
from bvkeras.ops.linear_pooling import (
    linear_pooling,
    linear_pooling_projection,
)
from tests.fresh_process import FreshProcess
from tests.native import require_native
from tests.ops import native_digest
from tests.ops.test_linear_pooling import make_case


@pytest.fixture(autouse=True)
def _native_library():
    require_native()


def tensors_of(case, dtype="float32"):
    hidden_states, *others = case.values()
    return [
        tf.constant(hidden_states, dtype),
        *(tf.constant(other, tf.float32) for other in others),
    ]


@pytest.mark.parametrize("as_list", [False, True])
def test_graph_gives_the_bits_of_eager(as_list):
    case, mask = make_case((3, 17, 5, 11, 7, 3))
    hidden_states, *weights = tensors_of(case)

    def run():
        with tf.GradientTape() as tape:
            tape.watch([hidden_states, *weights])
            layers = hidden_states
            if as_list:
                layers = tf.unstack(hidden_states, axis=2)
            output = linear_pooling_projection(
                layers, *weights, mask, implementation="native"
            )
        return [output, *tape.gradient(output, [hidden_states, *weights])]

    for actual, expected in zip(tf.function(run)(), run(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_shapes_are_known_as_far_as_those_of_the_input():
    @tf.function(
        input_signature=[tf.TensorSpec((None, None, 2, 5), tf.float32)]
    )
    def graph(hidden_states):
        pooled = linear_pooling(
            hidden_states, tf.ones((5, 3)), None, implementation="native"
        )
        projected = linear_pooling_projection(
            hidden_states,
            tf.ones((5, 3)),
            None,
            tf.ones((2, 3, 4)),
            implementation="native",
        )
        gradients = tf.gradients([pooled, projected], hidden_states)
        assert pooled.shape.as_list() == [None, None, 2, 3]
        assert projected.shape.as_list() == [None, None, 4]
        assert gradients[0].shape.as_list() == [None, None, 2, 5]
        return projected

    assert graph(tf.ones((2, 3, 2, 5))).shape == (2, 3, 4)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("watched", [False, True])
def test_gradient_of_hidden_states_is_computed_only_if_asked_for(
    watched, as_list, monkeypatch
):
    case, _ = make_case((2, 3, 2, 5, 3, 2))
    hidden_states, *weights = tensors_of(case)
    operations = library.load()
    name = "bvkeras_linear_pooling_projection_hidden_states_grad"
    original, calls = getattr(operations, name), []
    monkeypatch.setattr(
        operations,
        name,
        lambda **arguments: calls.append(1) or original(**arguments),
    )
    sources = [*weights, hidden_states] if watched else weights
    with tf.GradientTape() as tape:
        tape.watch(sources)
        layers = hidden_states
        if as_list:
            layers = tf.unstack(hidden_states, axis=2)
        output = linear_pooling_projection(
            layers, *weights, implementation="native"
        )
    gradients = tape.gradient(output, sources)
    assert all(gradient is not None for gradient in gradients)
    assert len(calls) == watched


def test_gradient_of_one_layer_alone():
    case, _ = make_case((2, 3, 2, 5, 3, 2))
    hidden_states, *weights = tensors_of(case)
    layers = tf.unstack(hidden_states, axis=2)

    def gradient(sources):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output = linear_pooling_projection(
                layers, *weights, implementation="native"
            )
        return tape.gradient(output, sources)[-1]

    np.testing.assert_array_equal(gradient(layers[1:]), gradient(layers))


def test_no_stash_where_nothing_is_kept():
    case, mask = make_case((2, 17, 5, 11, 7, 3), mask="ragged")
    hidden_states, kernel, bias, _ = tensors_of(case)
    arguments = native.operation_arguments(
        hidden_states, kernel, bias, None, tf.constant(mask)
    )

    def stash(stash_type):
        return (
            library.load()
            .bvkeras_linear_pooling(
                **arguments, pooled_type=tf.float32, stash_type=stash_type
            )
            .stash
        )

    assert stash("none").shape == (0,)
    sizes = [int(stash(name).shape[0]) for name in ("bfloat16", "float32")]
    # Rows of the real tokens alone; units are padded to a vector's width.
    real_rows = mask.sum() * 5
    assert sizes[1] == 2 * sizes[0]
    assert real_rows * 7 * 4 <= sizes[1] <= real_rows * 16 * 4


def test_second_derivative_is_refused():
    case, _ = make_case((2, 3, 2, 5, 3, 2))
    hidden_states, *weights = tensors_of(case)
    with tf.GradientTape() as outer:
        outer.watch(weights)
        with tf.GradientTape() as inner:
            inner.watch(weights)
            output = linear_pooling_projection(
                hidden_states, *weights, implementation="native"
            )
        gradient = inner.gradient(output, weights[0])
    with pytest.raises(ArgumentError, match="implementation='reference'"):
        outer.gradient(gradient, weights)


def test_no_bias_is_a_bias_of_zero():
    case, _ = make_case((2, 17, 5, 11, 7, 3))
    hidden_states, kernel, bias, projection = tensors_of(case)
    results = []
    for given in (None, 0 * bias):
        with tf.GradientTape() as tape:
            tape.watch([kernel, projection])
            output = linear_pooling_projection(
                hidden_states, kernel, given, projection, keep="stash"
            )
        results.append([output, *tape.gradient(output, [kernel, projection])])
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_lengths_are_a_mask_of_the_first_tokens():
    case, _ = make_case((4, 17, 5, 11, 7, 3))
    lengths = np.array([17, 0, 1, 9])
    mask = np.arange(17) < lengths[:, None]
    arguments = tensors_of(case)
    by_mask = linear_pooling_projection(*arguments, mask)
    for dtype in ("int32", "int64"):
        np.testing.assert_array_equal(
            linear_pooling_projection(
                *arguments, lengths=tf.constant(lengths, dtype)
            ),
            by_mask,
        )
    np.testing.assert_allclose(
        linear_pooling_projection(
            *arguments, lengths=lengths, implementation="reference"
        ),
        by_mask,
        atol=1e-4,
    )


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize("lengths", [[3, 4], [-1, 2]])
def test_lengths_out_of_range_are_refused(lengths, implementation):
    with pytest.raises(tf.errors.InvalidArgumentError, match="lengths: rec"):
        linear_pooling(
            tf.ones((2, 3, 2, 5)),
            tf.ones((5, 4)),
            None,
            lengths=lengths,
            implementation=implementation,
        )


@pytest.mark.parametrize("variant", ["avx1024", "AVX2"])
def test_an_unknown_variant_is_named(variant, monkeypatch):
    monkeypatch.setenv("BVKERAS_CPU_VARIANT", variant)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=f"BVKERAS_CPU_VARIANT: received {variant}",
    ):
        linear_pooling(
            tf.ones((2, 3, 2, 5)),
            tf.ones((5, 4)),
            None,
            implementation="native",
        )


def good_arguments():
    return {
        "hidden_states": [tf.ones((2, 3, 2, 5))],
        "scales": [],
        "valid": tf.ones((2, 3), tf.bool),
        "kernel": tf.ones((5, 4)),
        "bias": tf.ones(4),
        "projection": tf.ones((3, 2, 4, 1)),
        "stacked": True,
    }


INT8 = {
    "hidden_states": [tf.ones((2, 3, 2, 5), tf.int8)],
    "scales": [tf.ones((2, 3, 2))],
}
LIST = {"stacked": False, "hidden_states": [tf.ones((2, 3, 5))] * 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_states": [tf.ones((2, 3, 5))]}, "hidden_states: received sh"),
        ({"hidden_states": [tf.ones(())]}, "hidden_states: received shape"),
        ({"hidden_states": [tf.ones((2, 3, 2, 5))] * 2}, "received 2 stacked"),
        ({"stacked": False}, "hidden_states: received shape"),
        (
            {**LIST, "hidden_states": [tf.ones((2, 3, 5)), tf.ones((2, 3, 4))]},
            "hidden_states: received shape",
        ),
        ({"hidden_states": [tf.ones((2, 3, 0, 5))]}, "layers|projection"),
        ({"hidden_states": [tf.ones((2, 3, 2, 0))]}, "kernel|features"),
        ({"scales": [tf.ones((2, 3, 2))]}, "scales: received 1 tensors, exp"),
        ({**INT8, "scales": []}, "scales: received 0 tensors, expected 1"),
        ({**INT8, "scales": [tf.ones((2, 3))]}, "scales: received shape"),
        ({"valid": tf.ones(3, tf.bool)}, "mask: received shape"),
        ({"valid": tf.ones((3, 2), tf.bool)}, "mask: received shape"),
        ({"valid": tf.ones((2, 3), tf.int64)}, "lengths: received shape"),
        ({"valid": tf.constant([1, 4], tf.int64)}, "lengths: received 4 in r"),
        ({"valid": tf.constant([-1, 3], tf.int64)}, "lengths: received -1 in"),
        ({"kernel": tf.ones(5)}, "kernel: received shape"),
        ({"kernel": tf.ones((6, 4))}, "kernel: received shape"),
        ({"kernel": tf.ones((5, 0)), "bias": tf.ones(0)}, "units|projection"),
        ({"bias": tf.ones(3)}, "bias: received shape"),
        ({"bias": tf.ones(())}, "bias: received shape"),
        ({"projection": tf.ones(4)}, "projection: received shape"),
        ({"projection": tf.ones((2, 4, 0))}, "projection: received 0 outputs"),
        ({"projection": tf.ones((2, 5, 1))}, "projection: received shape"),
        ({"projection": tf.ones((2, 2, 4, 1))}, "projection: received 2 posi"),
        ({"projection": tf.ones((0, 2, 4, 1))}, "projection: received 0 posi"),
    ],
)
def test_operation_names_a_wrong_argument(arguments, message):
    operation = library.load().bvkeras_linear_pooling_projection
    good = good_arguments()
    assert operation(**good).projected.shape == (2, 3, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        operation(**{**good, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_gradient": tf.ones((2, 3, 2))}, "output_gradient: received"),
        ({"output_gradient": tf.ones(())}, "output_gradient: received shape"),
        ({"stash": tf.zeros(7, tf.uint8)}, "stash: received shape"),
        ({"stash": tf.zeros((), tf.uint8)}, "stash: received shape"),
        ({"stash_type": "bfloat16"}, "stash: received shape"),
    ],
)
@pytest.mark.parametrize("name", ["grad", "hidden_states_grad"])
def test_gradients_name_a_wrong_argument(name, arguments, message):
    operations = library.load()
    good = {**good_arguments(), "stash_type": "float32"}
    forward = operations.bvkeras_linear_pooling_projection(**good)
    good["output_gradient"] = tf.ones((2, 3, 1))
    good["stash"] = forward.stash
    operation = getattr(operations, f"bvkeras_linear_pooling_projection_{name}")
    operation(**good)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        operation(**{**good, **arguments})


@pytest.mark.parametrize("seed", range(60))
def test_random_arguments_give_the_right_answer_or_one_error(seed):
    random = np.random.default_rng(seed)
    batch, tokens = random.choice([0, 1, 2, 3, 17], 2)
    layers, features, units, outputs = random.choice(
        [0, 1, 2, 3, 8, 16, 17], 4, p=[0.04, 0.2, 0.16, 0.2, 0.1, 0.1, 0.2]
    )
    dtype = random.choice(["float32", "bfloat16", "float16", "int8"])
    positions = [(), (max(1, tokens),), (tokens + 3,)][seed % 3]
    arguments = {
        "kernel": random.normal(size=(features, units)),
        "bias": random.normal(size=units),
        "projection": random.normal(size=(*positions, layers, units, outputs)),
    }
    arguments = {k: tf.constant(v, tf.float32) for k, v in arguments.items()}
    values = random.normal(size=(batch, tokens, layers, features), scale=9)
    hidden_states = tf.constant(np.rint(values), dtype)
    scales = tf.ones((batch, tokens, layers)) / 16
    if random.random() < 0.5 and layers > 0:
        hidden_states = tf.unstack(hidden_states, axis=2)
        scales = tf.unstack(scales, axis=2)
    if dtype == "int8":
        hidden_states = (hidden_states, scales)
    valid = random.choice(["none", "mask", "lengths"])
    if valid == "mask":
        arguments["mask"] = random.random(size=(batch, tokens)) < 0.5
    elif valid == "lengths":
        arguments["lengths"] = random.integers(0, tokens + 1, size=batch)
    arguments["keep"] = random.choice(["stash", "bfloat16", "recompute"])

    def run(implementation):
        weights = [arguments[name] for name in ("kernel", "bias", "projection")]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            output = linear_pooling_projection(
                hidden_states,
                **arguments,
                compute_dtype="float32",
                implementation=implementation,
            )
        return [output, *tape.gradient(output, weights)]

    if 0 in (layers, features, units, outputs):
        with pytest.raises((ArgumentError, tf.errors.InvalidArgumentError)):
            run("native")
        return
    for actual, expected in zip(run("native"), run("reference"), strict=True):
        assert actual.shape == expected.shape
        scale = np.abs(expected).max(initial=1)
        tolerance = 2e-5 if dtype == "float32" else 2e-2
        if arguments["keep"] == "bfloat16":
            tolerance = 2e-2
        np.testing.assert_allclose(actual, expected, atol=tolerance * scale)


def test_bits_are_those_of_any_number_of_threads():
    processes = [
        FreshProcess(native_digest.__file__, library.path(), threads)
        for threads in (1, 3)
    ]
    expected = native_digest.digest(library.load())
    assert native_digest.digest(library.load()) == expected
    for process in processes:
        assert process.communicate()[0].split() == [expected]
        assert process.returncode == 0


def test_library_asks_for_no_symbol_of_cuda():
    found = subprocess.run(
        ["nm", "--dynamic", "--undefined-only", library.path()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    symbols = [line.split()[-1] for line in found.splitlines()]
    assert any("OpKernel" in symbol for symbol in symbols)
    assert not [
        symbol
        for symbol in symbols
        if symbol.startswith(("cuda", "cu", "cublas", "nv", "__cuda"))
    ]


def test_library_shows_no_symbol_of_its_own():
    found = subprocess.run(
        ["nm", "--dynamic", "--defined-only", library.path()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # But for what is asked of a build: its instruction set, and of one with
    # CUDA its versions before anything runs.
    shown = {line.split()[-1] for line in found.splitlines()}
    assert {name for name in shown if "bvkeras" in name} <= {
        "bvkeras_cpu_variant",
        "bvkeras_cuda_build_version",
        "bvkeras_cuda_driver_version",
    }


def test_stamp_lies_beside_the_library():
    stamp = json.loads(
        (library.path().parent / "stamp.json").read_text(encoding="utf-8")
    )
    assert stamp["tensorflow"] == tf.__version__
    assert stamp["contract_version"] == library.CONTRACT_VERSION
    assert isinstance(stamp["cuda"], str)
    assert stamp["variants"].split(",")[-1] == "portable"
    assert os.path.getsize(library.path()) > 0
