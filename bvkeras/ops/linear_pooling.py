"""Linear pooling of hidden states: the door every layer and model uses.

The same linear map over the features of every token and layer, then GELU;
and, in the second function, a projection of the result to a few outputs:

    Z[b,t,l,a] = Σ_e H[b,t,l,e] W[e,a] + b[a]
    Y          = GELU(Z)
    P[b,t,c]   = mask[b,t] · Σ_{l,a} Y[b,t,l,a] V[(t,)l,a,c]

| name | argument | shape |
|---|---|---|
| H | `hidden_states` | (batch, tokens, layers, features), or a list of layers, each (batch, tokens, features) |
| W, b | `kernel`, `bias` | (features, units), (units,) |
| V | `projection` | (layers, units, outputs) shared by the tokens, or (tokens, layers, units, outputs), one for each position |
| mask | `mask` | (batch, tokens), true at real tokens |

With G the gradient of P: dY = G·Vᵀ, dZ = dY·GELU'(Z), dW = HᵀdZ, db = ΣdZ,
dV = YᵀG and dH = dZ·Wᵀ. Padded positions of Y and P are exactly zero, and
what H holds there, NaN included, reaches neither a result nor a gradient.

Source: Jiang et al. 2022, "A High Performance Compression Approach for
Transformer-Based NLP Tasks", Algorithm 1.
"""  # noqa: E501

from typing import Any

import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.ops import reference
from bvkeras.ops.hidden_states import shape_of


def linear_pooling(
    hidden_states: Any,
    kernel: Any,
    bias: Any | None,
    *,
    approximate: bool = False,
    mask: Any | None = None,
) -> tf.Tensor:
    """Y: the linear map over every layer's features, then GELU.

    A list of layers is never stacked; only its products are.

    Args:
        hidden_states: tensor `(batch, tokens, layers, features)` or a list of
            tensors `(batch, tokens, features)`, of float32, bfloat16, float16
            or float64.
        kernel: tensor `(features, units)`. Cast to the type of
            `hidden_states`.
        bias: tensor `(units,)` or `None`.
        approximate: bool. Whether GELU is its tanh approximation. Defaults
            to `False`: the exact GELU, by erf.
        mask: tensor `(batch, tokens)`, bool or integer, true at real tokens,
            or `None` when every position is real. Defaults to `None`.

    Returns:
        Tensor `(batch, tokens, layers, units)` of the type of
        `hidden_states`; zero at padded positions.

    Raises:
        ArgumentError: A shape or a type is not one of the above.
    """
    hidden_states = _checked_hidden_states(hidden_states)
    kernel = _checked_kernel(kernel, hidden_states)
    return reference.linear_pooling(
        hidden_states, kernel, bias, approximate=approximate, mask=mask
    )


def project(pooled: Any, projection: Any) -> tf.Tensor:
    """P from Y, for who changes Y in between, as dropout does.

    Args:
        pooled: tensor `(batch, tokens, layers, units)`: what `linear_pooling`
            returns.
        projection: tensor `(layers, units, outputs)` shared by the tokens, or
            `(sequence_length, layers, units, outputs)`. Of the second, the
            first `tokens` positions are used.

    Returns:
        Tensor `(batch, tokens, outputs)` of float32 (float64 for float64).

    Raises:
        ArgumentError: `pooled` and `projection` do not fit each other.
    """
    pooled = tf.convert_to_tensor(pooled)
    projection = _checked_projection(projection, shape_of(pooled))
    with tf.control_dependencies(_length_checks(pooled, projection)):
        return reference.project(pooled, projection)


def linear_pooling_projection(
    hidden_states: Any,
    kernel: Any,
    bias: Any | None,
    projection: Any,
    mask: Any | None = None,
    *,
    approximate: bool = False,
) -> tf.Tensor:
    """P: `linear_pooling`, then the projection to outputs, at every token.

    Args:
        hidden_states: As in `linear_pooling`.
        kernel: As in `linear_pooling`.
        bias: As in `linear_pooling`.
        projection: As in `project`.
        mask: As in `linear_pooling`.
        approximate: As in `linear_pooling`.

    Returns:
        Tensor `(batch, tokens, outputs)` of float32 (float64 for float64);
        zero at padded positions.

    Raises:
        ArgumentError: A shape or a type is not one of the above, or there are
            more tokens than `projection` has positions.
    """
    hidden_states = _checked_hidden_states(hidden_states)
    kernel = _checked_kernel(kernel, hidden_states)
    pooled_shape = (*shape_of(hidden_states)[:3], kernel.shape[1])
    projection = _checked_projection(projection, pooled_shape)
    is_list = isinstance(hidden_states, list)
    first = hidden_states[0] if is_list else hidden_states
    with tf.control_dependencies(_length_checks(first, projection)):
        return reference.linear_pooling_projection(
            hidden_states,
            kernel,
            bias,
            projection,
            mask,
            approximate=approximate,
        )


def _checked_hidden_states(hidden_states):
    if isinstance(hidden_states, (list, tuple)):
        hidden_states = [tf.convert_to_tensor(h) for h in hidden_states]
        dtypes = {layer.dtype for layer in hidden_states}
    else:
        hidden_states = tf.convert_to_tensor(hidden_states)
        dtypes = {hidden_states.dtype}
    shape_of(hidden_states)
    if len(dtypes) > 1 or not next(iter(dtypes)).is_floating:
        names = ", ".join(sorted(dtype.name for dtype in dtypes))
        raise ArgumentError(
            f"hidden_states: received dtype {names}, expected one of float32,"
            " bfloat16, float16, float64"
        )
    return hidden_states


def _checked_kernel(kernel, hidden_states):
    kernel = tf.convert_to_tensor(kernel)
    features = shape_of(hidden_states)[3]
    if features not in (None, kernel.shape[0]):
        raise ArgumentError(
            f"hidden_states: received {features} features, expected"
            f" {kernel.shape[0]}, as kernel has"
        )
    return kernel


def _checked_projection(projection, pooled_shape):
    projection = tf.convert_to_tensor(projection)
    if projection.shape.rank not in (3, 4):
        raise ArgumentError(
            f"projection: received shape {tuple(projection.shape)}, expected"
            " (layers, units, outputs) or (tokens, layers, units, outputs)"
        )
    _, tokens, layers, units = pooled_shape
    expected_layers, expected_units = projection.shape[-3:-1]
    if layers not in (None, expected_layers):
        raise ArgumentError(
            f"hidden_states: received {layers} layers, expected"
            f" {expected_layers}, as projection has"
        )
    if units not in (None, expected_units):
        raise ArgumentError(
            f"projection: received {expected_units} units, expected {units},"
            " as kernel has"
        )
    if projection.shape.rank == 4 and (tokens or 0) > projection.shape[0]:
        raise ArgumentError(
            f"sequence_length: received hidden states of {tokens} tokens,"
            f" expected at most {projection.shape[0]}"
        )
    return projection


def _length_checks(values, projection):
    """The same check on tokens for a graph that learns their number late."""
    if projection.shape.rank == 3 or values.shape[1] is not None:
        return []
    return [
        tf.debugging.assert_less_equal(
            tf.shape(values)[1],
            projection.shape[0],
            message="sequence_length: received hidden states of more than"
            f" {projection.shape[0]} tokens",
        )
    ]
