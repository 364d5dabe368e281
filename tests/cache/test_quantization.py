import numpy as np
import pytest
import tensorflow as tf

from bvkeras.cache.quantization import dequantize, quantize


def reference(states):
    """The definition in docs/cache_format.md, one row after the other."""
    values = np.zeros(states.shape, np.int8)
    scales = np.zeros(states.shape[:-1], np.float32)
    for place in np.ndindex(scales.shape):
        scale = np.abs(states[place]).max() / np.float32(127)
        if scale >= 2.0**-100:
            scales[place] = scale
            values[place] = np.rint(states[place] / scale)
    return values, scales


@pytest.mark.parametrize("shape", [(1,), (3, 1), (5, 7, 384), (0, 4, 8)])
@pytest.mark.parametrize("exponent", [-93, -10, 0, 100])
def test_equals_the_definition(shape, exponent):
    random = np.random.default_rng(len(shape))
    states = (random.normal(size=shape) * 2.0**exponent).astype(np.float32)
    values, scales = quantize(states)
    expected_values, expected_scales = reference(states)
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(scales, expected_scales)
    assert values.dtype == tf.int8
    assert scales.dtype == tf.float32


def test_off_by_at_most_half_a_scale():
    states = np.random.default_rng(0).standard_t(2, (9, 5, 64))
    states = states.astype(np.float32)
    values, scales = quantize(states)
    errors = np.abs(dequantize(values, scales).numpy() - states)
    # The two roundings of the division and the product come on top.
    bound = scales.numpy()[..., None] * (0.5 + 2 * 127 * 2.0**-24)
    assert (errors <= bound).all()
    assert errors.max() > 0


def test_largest_values_are_127_and_never_128():
    states = np.float32([[3.0, -3.0, 1.5], [-7.0, 0.0, 7.0]])
    values, _ = quantize(states)
    # 1.5 / (3 / 127) is 63.5, half-way between two: the even one.
    assert values.numpy().tolist() == [[127, -127, 64], [-127, 0, 127]]


@pytest.mark.parametrize("value", [0.0, 1e-45, -1e-39, 126 * 2.0**-100])
def test_rows_too_small_for_a_scale_are_zero(value):
    values, scales = quantize(np.full((2, 3), value, np.float32))
    assert not values.numpy().any()
    assert not scales.numpy().any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scale_says_what_is_not_finite(value):
    states = np.ones((3, 40), np.float32)
    states[1, 17] = value
    _, scales = quantize(states)
    assert np.isfinite(scales).tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_decoded_is_the_float32_product_rounded(dtype):
    random = np.random.default_rng(0)
    values = random.integers(-127, 128, (4, 3, 16)).astype(np.int8)
    scales = random.random((4, 3)).astype(np.float32)
    expected = tf.cast(values * scales[..., None], dtype)
    decoded = dequantize(values, scales, dtype)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(
        tf.cast(decoded, tf.float32), tf.cast(expected, tf.float32)
    )
