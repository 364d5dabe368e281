import numpy as np
import pytest
import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.ops.linear_pooling import (
    linear_pooling,
    linear_pooling_projection,
    project,
)
from tests.ops import float64_reference

pytestmark = pytest.mark.usefixtures("each_implementation")

# batch, tokens, layers, features, units, outputs
SHAPES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 1, 5, 1, 2),
    (3, 1, 2, 7, 3, 2),
    (2, 17, 13, 11, 7, 3),
    (1, 31, 3, 33, 17, 5),
    (0, 5, 2, 7, 3, 2),
]
EPSILON = {"bfloat16": 2**-8, "float16": 2**-11}


def make_case(shape, *, per_position=True, mask="ragged", extra_tokens=0):
    batch, tokens, layers, features, units, outputs = shape
    random = np.random.default_rng(sum(shape))
    positions = (tokens + extra_tokens,) if per_position else ()
    case = {
        "hidden_states": random.normal(size=(batch, tokens, layers, features)),
        "kernel": random.normal(size=(features, units)) / features**0.5,
        "bias": random.normal(size=units),
        "projection": random.normal(size=(*positions, layers, units, outputs)),
    }
    lengths = random.integers(1, tokens + 1, size=batch)
    lengths[1:2] = 0
    mask = {
        "ragged": np.arange(tokens) < lengths[:, None],
        "holes": random.random(size=(batch, tokens)) < 0.5,
        "full": np.ones((batch, tokens), bool),
    }[mask]
    return case, mask


def run(operation, case, mask, *, as_list=False, dtype="float32", **kwargs):
    """The output and, by one seeded gradient of it, all gradients."""
    tensors = {name: tf.constant(value, dtype) for name, value in case.items()}
    hidden_states = tensors.pop("hidden_states")
    sources = [hidden_states, *tensors.values()]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        if as_list:
            hidden_states = tf.unstack(hidden_states, axis=2)
        output = operation(hidden_states, **tensors, mask=mask, **kwargs)
    output_gradient = gradient_like(output)
    gradients = tape.gradient(
        output, sources, tf.cast(output_gradient, output.dtype)
    )
    return output, gradients, output_gradient


def gradient_like(output):
    return np.random.default_rng(1).normal(size=output.shape)


def assert_close(actual, expected, tolerance=2e-5):
    actual = np.asarray(actual, "float64")
    assert actual.shape == expected.shape
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(actual, expected, atol=tolerance * scale)


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("mask", ["ragged", "holes", None])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pooling_and_its_gradients_match_float64(shape, mask, approximate):
    case, mask_array = make_case(shape, mask=mask or "full")
    del case["projection"]
    output, gradients, output_gradient = run(
        linear_pooling,
        case,
        mask and tf.constant(mask_array),
        approximate=approximate,
    )
    arguments = (*case.values(), mask_array, approximate)
    assert_close(output, float64_reference.linear_pooling(*arguments))
    expected = float64_reference.linear_pooling_gradients(
        *arguments, output_gradient
    )
    for actual, gradient in zip(gradients, expected, strict=True):
        assert_close(actual, gradient)


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("per_position", [False, True])
@pytest.mark.parametrize("mask", ["ragged", "holes", None])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_projection_and_its_gradients_match_float64(
    shape, mask, per_position, approximate
):
    case, mask_array = make_case(
        shape,
        per_position=per_position,
        mask=mask or "full",
        extra_tokens=2,
    )
    output, gradients, output_gradient = run(
        linear_pooling_projection,
        case,
        mask and tf.constant(mask_array, tf.int32),
        approximate=approximate,
    )
    arguments = (*case.values(), mask_array, approximate)
    assert_close(
        output, float64_reference.linear_pooling_projection(*arguments)
    )
    expected = float64_reference.linear_pooling_projection_gradients(
        *arguments, output_gradient
    )
    for actual, gradient in zip(gradients, expected, strict=True):
        assert_close(actual, gradient)


@pytest.mark.parametrize("approximate", [False, True])
def test_float64_gradients_match_finite_differences(approximate):
    case, mask = make_case((2, 3, 2, 5, 3, 2))
    _, gradients, output_gradient = run(
        linear_pooling_projection,
        case,
        mask,
        dtype="float64",
        approximate=approximate,
    )
    random = np.random.default_rng(2)
    for name, gradient in zip(case, gradients, strict=True):
        direction = random.normal(size=case[name].shape)
        sums = [
            np.sum(
                output_gradient
                * float64_reference.linear_pooling_projection(
                    **{**case, name: case[name] + step * direction},
                    mask=mask,
                    approximate=approximate,
                )
            )
            for step in (1e-5, -1e-5)
        ]
        slope = (sums[0] - sums[1]) / 2e-5
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
def test_graph_and_list_give_what_eager_and_stacked_give(as_list, jit_compile):
    case, mask = make_case((2, 17, 5, 11, 7, 3))
    expected, expected_gradients, _ = run(linear_pooling_projection, case, mask)

    @tf.function(jit_compile=jit_compile)
    def in_graph():
        return run(linear_pooling_projection, case, mask, as_list=as_list)[:2]

    output, gradients = in_graph()
    assert_close(output, expected.numpy())
    for actual, gradient in zip(gradients, expected_gradients, strict=True):
        assert_close(actual, gradient.numpy())


def test_pooling_of_a_list_equals_pooling_of_the_stack():
    case, mask = make_case((2, 17, 5, 11, 7, 3))
    del case["projection"]
    stacked, stacked_gradients, _ = run(linear_pooling, case, mask)
    listed, listed_gradients, _ = run(linear_pooling, case, mask, as_list=True)
    assert_close(listed, stacked.numpy(), 1e-6)
    for actual, gradient in zip(
        listed_gradients, stacked_gradients, strict=True
    ):
        assert_close(actual, gradient.numpy(), 1e-5)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_near_float64(dtype, as_list):
    case, mask = make_case((2, 31, 7, 67, 13, 3))
    # Rounding the arguments is the caller's doing, not the operation's.
    case = {
        name: tf.cast(tf.cast(value, dtype), tf.float64).numpy()
        for name, value in case.items()
    }
    output, gradients, output_gradient = run(
        linear_pooling_projection, case, mask, as_list=as_list, dtype=dtype
    )
    assert output.dtype == tf.float32
    arguments = (*case.values(), mask, False)
    expected = (
        float64_reference.linear_pooling_projection(*arguments),
        *float64_reference.linear_pooling_projection_gradients(
            *arguments, output_gradient
        ),
    )
    for actual, exact in zip((output, *gradients), expected, strict=True):
        error = np.linalg.norm(tf.cast(actual, tf.float64) - exact)
        # Z and dZ are rounded once each, and so is the result: by up to three
        # times this, were they all at their worst. Half of that is passed by
        # no processor seen; one without bfloat16 products comes to 1.05.
        assert error < 1.5 * EPSILON[dtype] * np.linalg.norm(exact)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_pooling_keeps_the_type_of_the_hidden_states(dtype):
    case, mask = make_case((2, 3, 2, 5, 3, 2))
    output = linear_pooling(
        tf.constant(case["hidden_states"], dtype),
        tf.constant(case["kernel"], tf.float32),
        tf.constant(case["bias"], tf.float32),
        mask=mask,
    )
    assert output.dtype == dtype


def test_long_sums_do_not_saturate_in_float16():
    # 4096 + 1 is 4096 in float16: a sum in that type would stop there.
    output = linear_pooling_projection(
        tf.ones((1, 1, 64, 128), tf.float16),
        tf.ones((128, 64), tf.float16) / 128,
        tf.fill((64,), tf.constant(9, tf.float16)),
        tf.ones((64, 64, 1), tf.float16),
    )
    assert output.numpy().item() == 10 * 64 * 64


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e38])
def test_garbage_at_padding_reaches_nothing(garbage, as_list):
    case, mask = make_case((3, 7, 2, 5, 3, 2))
    dirty = dict(case, hidden_states=case["hidden_states"].copy())
    dirty["hidden_states"][~mask] = garbage
    expected, expected_gradients, _ = run(
        linear_pooling_projection, case, mask, as_list=as_list
    )
    output, gradients, _ = run(
        linear_pooling_projection, dirty, mask, as_list=as_list
    )
    np.testing.assert_array_equal(output, expected)
    assert (output.numpy()[~mask] == 0).all()
    for actual, gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_array_equal(actual, gradient)
    assert (gradients[0].numpy()[~mask] == 0).all()

    del dirty["projection"]
    pooled, gradients, _ = run(linear_pooling, dirty, mask, as_list=as_list)
    assert (pooled.numpy()[~mask] == 0).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_a_shorter_batch_uses_the_first_positions():
    case, mask = make_case((3, 7, 2, 5, 3, 2), extra_tokens=4)
    padded = dict(
        case,
        hidden_states=np.pad(
            case["hidden_states"],
            [(0, 0), (0, 4), (0, 0), (0, 0)],
            constant_values=5,
        ),
    )
    short, short_gradients, _ = run(
        lambda *args, **kwargs: tf.reduce_sum(
            linear_pooling_projection(*args, **kwargs), axis=1
        ),
        case,
        mask,
    )
    long, long_gradients, _ = run(
        lambda *args, **kwargs: tf.reduce_sum(
            linear_pooling_projection(*args, **kwargs), axis=1
        ),
        padded,
        np.pad(mask, [(0, 0), (0, 4)]),
    )
    assert_close(short, long.numpy(), 1e-6)
    for actual, gradient in zip(
        short_gradients[1:], long_gradients[1:], strict=True
    ):
        assert_close(actual, gradient.numpy(), 1e-6)


def test_no_bias_is_a_bias_of_zero():
    case, _ = make_case((3, 7, 2, 5, 3, 2))
    arguments = [tf.constant(value, tf.float32) for value in case.values()]
    hidden_states, kernel, bias, projection = arguments
    np.testing.assert_array_equal(
        linear_pooling_projection(hidden_states, kernel, None, projection),
        linear_pooling_projection(hidden_states, kernel, 0 * bias, projection),
    )


def test_an_unknown_number_of_tokens_is_checked_in_the_graph():
    @tf.function(
        input_signature=[tf.TensorSpec((None, None, 2, 5), tf.float32)]
    )
    def graph(hidden_states):
        return linear_pooling_projection(
            hidden_states,
            tf.ones((5, 3)),
            tf.zeros(3),
            tf.ones((4, 2, 3, 1)),
        )

    assert graph(tf.ones((2, 4, 2, 5))).shape == (2, 4, 1)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"sequence_length.*4 tokens"
    ):
        graph(tf.ones((2, 5, 2, 5)))


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"hidden_states": ones(2, 3, 5)},
            r"hidden_states: received shape \(2, 3, 5\), expected \(batch",
        ),
        ({"hidden_states": []}, r"hidden_states: received shape \[\]"),
        (
            {"hidden_states": [ones(2, 3, 5), ones(2, 3, 4)]},
            r"received shape \[\(2, 3, 5\), \(2, 3, 4\)\]",
        ),
        (
            {"hidden_states": ones(2, 3, 2, 5, dtype="int8")},
            "hidden_states: received dtype int8, expected one of float32",
        ),
        (
            {"hidden_states": [ones(2, 3, 5), ones(2, 3, 5, dtype="float16")]},
            "hidden_states: received dtype float16, float32, expected one",
        ),
        (
            {"hidden_states": ones(2, 3, 2, 6)},
            "hidden_states: received 6 features, expected 5",
        ),
        (
            {"hidden_states": ones(2, 3, 4, 5)},
            "hidden_states: received 4 layers, expected 2",
        ),
        (
            {"hidden_states": ones(2, 5, 2, 5)},
            "sequence_length: received hidden states of 5 tokens, expected at"
            " most 4",
        ),
        (
            {"projection": ones(4, 2, 6, 1)},
            "projection: received 6 units, expected 3",
        ),
        (
            {"projection": ones(3, 1)},
            r"projection: received shape \(3, 1\), expected \(layers",
        ),
        (
            {"mask": ones(3, dtype="bool")},
            r"mask: received shape \(3,\), expected \(batch, tokens\) ="
            r" \(2, 3\)",
        ),
        (
            {"mask": ones(2, 4, dtype="bool")},
            r"mask: received shape \(2, 4\), expected \(batch, tokens\)",
        ),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    good = {
        "hidden_states": ones(2, 3, 2, 5),
        "kernel": ones(5, 3),
        "bias": ones(3),
        "projection": ones(4, 2, 3, 1),
        "mask": ones(2, 3, dtype="bool"),
    }
    linear_pooling_projection(**good)
    with pytest.raises(ArgumentError, match=message) as error:
        linear_pooling_projection(**{**good, **arguments})
    assert "\n" not in str(error.value)


def test_project_checks_like_the_fused_operation():
    with pytest.raises(ArgumentError, match="received 3 layers, expected 2"):
        project(ones(2, 3, 3, 5), ones(4, 2, 5, 1))
    with pytest.raises(ArgumentError, match="sequence_length"):
        project(ones(2, 5, 2, 5), ones(4, 2, 5, 1))
