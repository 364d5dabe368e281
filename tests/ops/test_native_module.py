"""The native passes on numpy arrays, without TensorFlow in between."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.ops import library
from tests.native import VARIANTS, force_variant, require_native
from tests.ops import float64_reference

RANDOM = np.random.default_rng(0)
LENGTHS = np.array([67, 0, 13, 41, 66])
MASK = np.arange(67) < LENGTHS[:, None]


@pytest.fixture(autouse=True)
def kernels():
    require_native()
    from bvkeras._native import kernels

    return kernels


def arrays(dtype="float32", positions=()):
    """Hidden states of 1,675 rows, kernel, bias, projection, gradient."""
    random = np.random.default_rng(1)
    hidden_states = random.normal(size=(5, 67, 5, 33))
    if dtype == "int8":
        hidden_states = np.rint(hidden_states * 30)
    kernel = random.normal(size=(33, 17)) / 33**0.5
    return (
        hidden_states.astype(dtype),
        kernel.astype("float32"),
        random.normal(size=17).astype("float32"),
        random.normal(size=(*positions, 5, 17, 3)).astype("float32"),
        random.normal(size=(5, 67, 3)).astype("float32"),
    )


def passes(kernels, hidden_states, kernel, bias, gradient, **arguments):
    """Output and all gradients, as arrays."""
    output, stash = kernels.forward(hidden_states, kernel, bias, **arguments)
    inputs = (hidden_states, kernel, bias, gradient, stash)
    results = [output, *kernels.backward(*inputs, **arguments)]
    if arguments.get("scales") is None:
        by_layers = kernels.backward_hidden_states(*inputs, **arguments)
        if isinstance(by_layers, list):
            by_layers = np.stack(by_layers, axis=2)
        results.append(by_layers)
    return [result for result in results if result is not None]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stash_type", ["none", "float32"])
@pytest.mark.parametrize("positions", [(), (70,)])
def test_float32_matches_float64(
    variant, stash_type, positions, monkeypatch, kernels
):
    force_variant(monkeypatch, variant)
    hidden_states, kernel, bias, projection, gradient = arrays(
        positions=positions
    )
    results = passes(
        kernels,
        hidden_states,
        kernel,
        bias,
        gradient,
        projection=projection,
        mask=MASK,
        stash_type=stash_type,
        threads=2,
    )
    exact = [
        np.float64(array) for array in (hidden_states, kernel, bias, projection)
    ]
    by_h, *by_weights = float64_reference.linear_pooling_projection_gradients(
        *exact, MASK, False, np.float64(gradient)
    )
    output = float64_reference.linear_pooling_projection(*exact, MASK, False)
    for actual, expected in zip(
        results, [output, *by_weights, by_h], strict=True
    ):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, atol=2e-6 * scale)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
@pytest.mark.parametrize("as_list", [False, True])
def test_bits_are_those_of_any_number_of_threads(
    variant, dtype, as_list, monkeypatch, kernels
):
    force_variant(monkeypatch, variant)
    stash_type = "bfloat16" if dtype == "int8" else dtype
    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    for positions in ((), (67,)):
        hidden_states, kernel, bias, projection, gradient = arrays(
            dtype, positions
        )
        scales = None
        if dtype == "int8":
            scales = RANDOM.random(size=(5, 67, 5)).astype("float32")
        if as_list:
            hidden_states = list(np.moveaxis(hidden_states, 2, 0))
            scales = (
                scales if scales is None else list(np.moveaxis(scales, 2, 0))
            )
        expected = None
        for threads in (1, 2, 3, 8, 1):
            results = passes(
                kernels,
                hidden_states,
                kernel,
                bias,
                gradient,
                projection=projection,
                scales=scales,
                lengths=LENGTHS,
                stash_type=stash_type,
                threads=threads,
            )
            bits = [result.tobytes() for result in results]
            assert bits == (expected or bits)
            expected = bits


def test_gives_the_bits_of_the_tensorflow_operation(kernels):
    hidden_states, kernel, bias, _, _ = arrays()
    gradient = RANDOM.normal(size=(5, 67, 5, 17)).astype("float16")
    results = passes(
        kernels,
        hidden_states,
        kernel,
        bias,
        gradient,
        lengths=LENGTHS,
        dtype="float16",
        stash_type="float32",
        approximate=True,
        threads=3,
    )
    operations = library.load()
    arguments = {
        "hidden_states": [hidden_states],
        "scales": [],
        "valid": tf.constant(LENGTHS),
        "kernel": kernel,
        "bias": bias,
        "stacked": True,
        "stash_type": "float32",
        "approximate": True,
    }
    output, stash = operations.bvkeras_linear_pooling(
        **arguments, pooled_type=tf.float16
    )
    arguments |= {"output_gradient": gradient, "stash": stash}
    expected = [
        output,
        *operations.bvkeras_linear_pooling_grad(**arguments),
        *operations.bvkeras_linear_pooling_hidden_states_grad(**arguments),
    ]
    for actual, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(actual, other)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
@pytest.mark.parametrize("offset", [1, 2, 3, 7])
def test_views_that_begin_anywhere(
    variant, dtype, offset, monkeypatch, kernels
):
    force_variant(monkeypatch, variant)
    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype

    def moved(array):
        memory = np.empty(array.size + offset, array.dtype)
        view = memory[offset:].reshape(array.shape)
        view[...] = array
        return view

    given = arrays(dtype)
    *others, projection, gradient = given
    scales = None
    if dtype == "int8":
        scales = RANDOM.random(size=(5, 67, 5)).astype("float32")
    expected = passes(
        kernels, *others, gradient, projection=projection, scales=scales
    )
    *others, projection, gradient = map(moved, given)
    scales = scales if scales is None else moved(scales)
    actual = passes(
        kernels, *others, gradient, projection=projection, scales=scales
    )
    for result, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(result, other)


def test_arrays_in_any_order_and_alignment(kernels):
    hidden_states, kernel, bias, projection, _ = arrays()
    expected, _ = kernels.forward(
        hidden_states, kernel, bias, projection=projection
    )
    memory = bytearray(hidden_states.nbytes + 1)
    unaligned = np.frombuffer(
        memory, "float32", offset=1, count=hidden_states.size
    )
    unaligned = unaligned.reshape(hidden_states.shape)
    unaligned[...] = hidden_states
    assert not unaligned.flags.aligned
    for other in (unaligned, np.asfortranarray(hidden_states)):
        actual, _ = kernels.forward(
            other,
            np.asfortranarray(kernel),
            np.repeat(bias, 2)[::2],
            projection=projection,
        )
        np.testing.assert_array_equal(actual, expected)


def test_padding_is_not_read(kernels):
    hidden_states, kernel, bias, projection, gradient = arrays()
    arguments = {
        "projection": projection,
        "mask": MASK,
        "stash_type": "float32",
    }
    expected = passes(
        kernels, hidden_states, kernel, bias, gradient, **arguments
    )
    hidden_states[~MASK] = np.nan
    gradient[~MASK] = np.nan
    actual = passes(kernels, hidden_states, kernel, bias, gradient, **arguments)
    for result, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(result, other)
        assert np.isfinite(result).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_states": []}, "hidden_states: received no layers"),
        ({"hidden_states": np.ones((2, 3, 5), "f")}, "hidden_states: received"),
        ({"hidden_states": np.ones((2, 3, 2, 5))}, "received dtype float64"),
        ({"kernel": np.ones((6, 4), "f")}, r"kernel: received shape \(6, 4\)"),
        ({"kernel": np.ones(5, "f")}, r"kernel: received shape \(5,\)"),
        ({"kernel": np.ones((5, 4))}, "kernel: received dtype float64"),
        ({"bias": np.ones(3, "f")}, r"bias: received shape \(3,\)"),
        ({"projection": np.ones((2, 4), "f")}, "projection: received shape"),
        ({"projection": np.ones((2, 4, 0), "f")}, "at least 1 output"),
        ({"projection": np.ones((2, 2, 4, 1), "f")}, "received 2 positions"),
        ({"scales": np.ones((2, 3, 2), "f")}, "scales: expected with int8"),
        ({"mask": np.ones((3, 2), bool)}, "mask: received shape"),
        ({"mask": np.ones((2, 3), "int8")}, "mask: received dtype int8"),
        ({"lengths": np.array([1, 4])}, "lengths: received 4 in row 1"),
        ({"lengths": np.array([-1, 3])}, "lengths: received -1 in row 0"),
        (
            {"lengths": np.array([1, 2]), "mask": np.ones((2, 3), bool)},
            "lengths: received with mask",
        ),
        ({"dtype": "float64"}, "dtype: received dtype float64"),
        ({"stash_type": "int8"}, "stash: received 'int8'"),
        ({"threads": 0}, "threads: received 0"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message, kernels):
    good = {
        "hidden_states": np.ones((2, 3, 2, 5), "float32"),
        "kernel": np.ones((5, 4), "float32"),
        "bias": np.ones(4, "float32"),
    }
    kernels.forward(**good)
    with pytest.raises(ValueError, match=message) as error:
        kernels.forward(**{**good, **arguments})
    assert "\n" not in str(error.value)


def test_a_wrong_stash_or_gradient_is_named(kernels):
    hidden_states, kernel, bias, projection, gradient = arrays()
    arguments = {"projection": projection, "stash_type": "float32"}
    inputs = (hidden_states, kernel, bias)
    for backward in (kernels.backward, kernels.backward_hidden_states):
        with pytest.raises(ValueError, match="stash: expected what"):
            backward(*inputs, gradient, None, **arguments)
        with pytest.raises(ValueError, match="stash: received shape"):
            backward(*inputs, gradient, np.zeros(3, "uint8"), **arguments)
        with pytest.raises(ValueError, match="output_gradient: received shape"):
            backward(*inputs, gradient[:, :, :2], None, **arguments)


def test_build_info_names_what_is_in_use(monkeypatch, kernels):
    info = kernels.build_info()
    compiled = info["compiled_variants"].split(", ")
    assert compiled[-1] == "portable"
    assert set(compiled) <= set(VARIANTS)
    assert info["variant"] in compiled
    assert info["contract_version"] == library.CONTRACT_VERSION
    monkeypatch.setenv("BVKERAS_CPU_VARIANT", "portable")
    assert kernels.build_info()["variant"] == "portable"
    monkeypatch.setenv("BVKERAS_CPU_VARIANT", "mmx")
    assert "mmx" in kernels.build_info()["variant_error"]
