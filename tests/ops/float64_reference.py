"""Linear pooling in float64 numpy, written apart from the package."""

import math

import numpy as np

try:
    from scipy.special import erf
except ImportError:
    # A GPU machine need not have it.
    def erf(values):
        return np.frompyfunc(math.erf, 1, 1)(values).astype(np.float64)


def gelu(z, approximate):
    if approximate:
        return 0.5 * z * (1 + np.tanh(_tanh_argument(z)))
    return 0.5 * z * (1 + erf(z / np.sqrt(2)))


def gelu_derivative(z, approximate):
    if approximate:
        tanh = np.tanh(_tanh_argument(z))
        slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)
        return 0.5 * (1 + tanh) + 0.5 * z * (1 - tanh**2) * slope
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return 0.5 * (1 + erf(z / np.sqrt(2))) + z * density


def linear_pooling(hidden_states, kernel, bias, mask, approximate):
    """Y, with mask an array `(batch, tokens)` of 0 and 1."""
    z = hidden_states @ kernel + bias
    return gelu(z, approximate) * mask[:, :, None, None]


def linear_pooling_gradients(
    hidden_states, kernel, bias, mask, approximate, output_gradient
):
    """Gradients of H, W and b, given that of Y."""
    z = hidden_states @ kernel + bias
    z_gradient = output_gradient * gelu_derivative(z, approximate)
    z_gradient = z_gradient * mask[:, :, None, None]
    return (
        z_gradient @ kernel.T,
        np.einsum("btle,btla->ea", hidden_states, z_gradient),
        z_gradient.sum((0, 1, 2)),
    )


def linear_pooling_projection(
    hidden_states, kernel, bias, projection, mask, approximate
):
    """P."""
    pooled = linear_pooling(hidden_states, kernel, bias, mask, approximate)
    return np.einsum("btla,tlac->btc", pooled, _by_token(projection, pooled))


def linear_pooling_projection_gradients(
    hidden_states, kernel, bias, projection, mask, approximate, output_gradient
):
    """Gradients of H, W, b and V, given that of P."""
    pooled = linear_pooling(hidden_states, kernel, bias, mask, approximate)
    by_token = _by_token(projection, pooled)
    pooled_gradient = np.einsum("btc,tlac->btla", output_gradient, by_token)
    projection_gradient = np.zeros_like(projection)
    if projection.ndim == 3:
        projection_gradient += np.einsum(
            "btla,btc->lac", pooled, output_gradient
        )
    else:
        projection_gradient[: pooled.shape[1]] += np.einsum(
            "btla,btc->tlac", pooled, output_gradient
        )
    return (
        *linear_pooling_gradients(
            hidden_states, kernel, bias, mask, approximate, pooled_gradient
        ),
        projection_gradient,
    )


def _tanh_argument(z):
    return np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)


def _by_token(projection, pooled):
    tokens = pooled.shape[1]
    if projection.ndim == 3:
        return np.broadcast_to(projection, (tokens, *projection.shape))
    return projection[:tokens]
