"""TensorFlow's matmul and the native operations behind it.

That is what a GPU with CUDA kernels takes for many units. Here the operations
run on the CPU, as plain loops: what is tested is all that lies around them.
The kernels themselves are tested by tests/cuda/.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.ops import library, linear_pooling, native_of_products
from bvkeras.ops.implementation import takes_matmul
from tests.native import require_native
from tests.ops.parity_cases import (
    DTYPES,
    GRID,
    MASKS,
    ROUNDINGS,
    SHAPES,
    exact,
)
from tests.ops.test_native_parity import check_rule, native, run

WIDE = [(2, 5, 3, 33, 129, 2), (1, 3, 2, 16, 384, 7)]


@pytest.fixture(autouse=True)
def _native_library():
    require_native()


@pytest.fixture
def matmul(monkeypatch):
    """As on a GPU and with many units."""
    monkeypatch.setattr(linear_pooling, "takes_matmul", lambda units: True)


def of_grid(number):
    dtype, form, operation, keep, approximate = GRID[number]
    shape = (WIDE + SHAPES)[number % 13]
    mask = MASKS[(number * 3 + number // 4) % 4]
    return shape, dtype, operation, mask, approximate, form, keep


# 5 has no factor in common with the grid's size.
@pytest.mark.parametrize("number", range(0, len(GRID), 5))
def test_some_combinations(number, matmul):
    check_rule(*of_grid(number), ROUNDINGS)


@pytest.mark.full
@pytest.mark.parametrize("number", range(len(GRID)))
def test_every_combination(number, matmul):
    check_rule(*of_grid(number), ROUNDINGS)


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + WIDE, ids=str)
def test_every_shape(shape, dtype, matmul):
    number = SHAPES.index(shape) if shape in SHAPES else len(shape)
    operation = ("pooling", "shared", "per position")[number % 3]
    check_rule(
        *(shape, dtype, operation, "holes", False, "list", "stash"), ROUNDINGS
    )


@pytest.mark.parametrize(
    ("operation", "mask"),
    list(itertools.product(("pooling", "shared"), MASKS[1:])),
)
def test_padding_reaches_nothing(operation, mask, matmul):
    shape = (3, 7, 2, 65, 16, 2)
    clean = run(
        native(False, "stash"), shape, "float32", operation, mask, "list"
    )

    def with_nan(hidden_states, scales, lengths=None, mask=None, **tensors):
        real = mask if lengths is None else tf.sequence_mask(lengths, shape[1])
        nan = tf.constant(np.nan)
        hidden_states = [
            tf.where(real[..., tf.newaxis], layer, nan)
            for layer in hidden_states
        ]
        valid = {"lengths": lengths} if mask is None else {"mask": mask}
        return native(False, "stash")(hidden_states, None, **tensors, **valid)

    poisoned = run(with_nan, shape, "float32", operation, mask, "list")
    for name, result in poisoned.items():
        np.testing.assert_array_equal(result, clean[name])


def gradients(keep, graph):
    arguments = (WIDE[0], "float32", "shared", "ragged")
    results = []

    def step():
        results[:] = run(native(False, keep), *arguments, "stacked").values()
        return list(results)

    return tf.function(step)() if graph else step()


@pytest.mark.parametrize("graph", [False, True])
def test_recompute_gives_the_bits_of_stash(graph, matmul):
    for recomputed, kept in zip(
        gradients("recompute", graph), gradients("stash", False), strict=True
    ):
        np.testing.assert_array_equal(recomputed, kept)


def test_recompute_takes_no_product_of_the_forward_pass(matmul):
    graph = tf.function(lambda: gradients("recompute", False))
    operations = graph.get_concrete_function().graph.get_operations()
    (forward,) = (o for o in operations if o.type.endswith("OfProducts"))
    (backward,) = (o for o in operations if o.type.endswith("ProductsGrad"))
    assert forward.get_attr("K") == 0
    # After them stands the output's gradient.
    product = backward.inputs[-2].op
    while product.type != "Identity":
        assert product is not forward.inputs[-1].op
        product = product.inputs[0].op
    # It waits for the backward pass, so nothing can take one for the other.
    assert product.control_inputs


def test_bfloat16_stash_of_float32(matmul):
    arguments = (WIDE[0], "float32", "shared", "ragged")
    results = run(native(False, "bfloat16"), *arguments, "stacked")
    expected = exact(*arguments, False)
    stash = run(native(False, "stash"), *arguments, "stacked")
    np.testing.assert_array_equal(results["output"], stash["output"])
    for name in expected.keys() - {"output"}:
        difference = np.linalg.norm(results[name] - expected[name])
        assert difference < 2**-8 * np.linalg.norm(expected[name])
        assert (results[name] != stash[name]).numpy().any()


@pytest.mark.parametrize("watched", [False, True])
def test_gradient_of_hidden_states_only_if_asked_for(
    watched, matmul, monkeypatch
):
    original, calls = native_of_products.hidden_states_gradient, []
    monkeypatch.setattr(
        native_of_products,
        "hidden_states_gradient",
        lambda *arguments: calls.append(1) or original(*arguments),
    )
    hidden_states, kernel = tf.ones((2, 3, 2, 5)), tf.ones((5, 4))
    sources = [kernel, hidden_states] if watched else [kernel]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        output = linear_pooling.linear_pooling(
            hidden_states, kernel, None, implementation="native"
        )
    found = tape.gradient(output, sources)
    assert all(gradient is not None for gradient in found)
    assert len(calls) == watched


def test_second_derivatives_are_refused(matmul):
    kernel = tf.ones((5, 4))
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        outer.watch(kernel)
        inner.watch(kernel)
        output = linear_pooling.linear_pooling(
            tf.ones((2, 3, 2, 5)), kernel, None, implementation="native"
        )
        gradient = inner.gradient(output, kernel)
    with pytest.raises(ArgumentError, match="has no second derivatives"):
        outer.gradient(gradient, kernel)


def test_shapes_are_known_as_far_as_those_of_the_input(matmul):
    @tf.function(
        input_signature=[tf.TensorSpec((None, None, 2, 5), tf.float32)]
    )
    def graph(hidden_states):
        arguments = (hidden_states, tf.ones((5, 3)), None)
        pooled = linear_pooling.linear_pooling(
            *arguments, implementation="native"
        )
        projected = linear_pooling.linear_pooling_projection(
            *arguments, tf.ones((2, 3, 4)), implementation="native"
        )
        (by_h,) = tf.gradients([pooled, projected], hidden_states)
        assert pooled.shape.as_list() == [None, None, 2, 3]
        assert projected.shape.as_list() == [None, None, 4]
        assert by_h.shape.as_list() == [None, None, 2, 5]
        return by_h

    assert graph(tf.ones((2, 3, 2, 5))).shape == (2, 3, 2, 5)
    assert graph(tf.ones((0, 3, 2, 5))).shape == (0, 3, 2, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"products": [tf.ones((2, 3, 2, 5))]}, "products: received shape"),
        (
            {"products": [tf.ones((2, 3, 2, 4), tf.bfloat16)]},
            "products: received bfloat16",
        ),
    ],
)
def test_products_that_do_not_fit(change, message):
    arguments = {
        "hidden_states": [tf.ones((2, 3, 2, 5))],
        "scales": [],
        "valid": tf.constant(True),
        "kernel": tf.ones((5, 4)),
        "bias": tf.zeros(0),
        "stacked": True,
        "pooled_type": tf.float32,
        "kept": [],
    }
    operation = library.load().bvkeras_linear_pooling_of_products
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        operation(**{**arguments, **change})


@pytest.mark.parametrize(
    ("units", "gpu", "cuda", "expected"),
    [
        (129, True, "13.0", True),
        (128, True, "13.0", False),
        (None, True, "13.0", False),
        (129, False, "13.0", False),
        (129, True, "", False),
    ],
)
def test_when_the_product_is_matmul(units, gpu, cuda, expected, monkeypatch):
    stamp = {**library._stamp(), "cuda": cuda, "cuda_architectures": "80"}
    monkeypatch.setattr(library, "_stamp", lambda: stamp)
    monkeypatch.setattr(library, "_cuda_versions", lambda: (13000, 13000))
    monkeypatch.setattr(
        tf.config,
        "list_logical_devices",
        lambda kind: [f"/{kind}:0"] if gpu else [],
    )
    assert takes_matmul(units) == expected
    if units is None:
        return

    def step():
        return linear_pooling.linear_pooling(
            tf.ones((2, 3, 2, 5)),
            tf.ones((5, units)),
            None,
            implementation="native",
        )

    graph = tf.function(step).get_concrete_function().graph
    names = {operation.type for operation in graph.get_operations()}
    assert ("BvkerasLinearPoolingOfProducts" in names) == expected
