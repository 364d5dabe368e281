"""The native operations and their gradients.

What kernels/tf_op.cc registers, called with checked arguments by
`bvkeras.ops.linear_pooling`.
"""

from typing import Any

import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.ops import library

_SECOND_DERIVATIVE = (
    "implementation: the native library has no second derivatives, expected"
    " implementation='reference'"
)


def linear_pooling(
    hidden_states: tf.Tensor | list[tf.Tensor],
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    *,
    scales: tf.Tensor | list[tf.Tensor] | None,
    valid: tf.Tensor | None,
    approximate: bool,
    dtype: tf.DType,
    stash_type: str,
) -> tf.Tensor:
    """Y; see `bvkeras.ops.linear_pooling.linear_pooling`.

    Args:
        hidden_states: tensor, or list of tensors.
        kernel: tensor `(features, units)`.
        bias: tensor `(units,)` or `None`.
        scales: of int8 hidden states, in their form; otherwise `None`.
        valid: bool mask `(batch, tokens)`, integer lengths `(batch,)`, or
            `None`.
        approximate: bool.
        dtype: tf.DType of Y.
        stash_type: string. Type of what is kept for the backward pass, or
            `"none"`.
    """
    pooled, _ = library.load().bvkeras_linear_pooling(
        **operation_arguments(hidden_states, kernel, bias, scales, valid),
        approximate=approximate,
        pooled_type=dtype,
        stash_type=stash_type,
    )
    return pooled


def linear_pooling_projection(
    hidden_states: tf.Tensor | list[tf.Tensor],
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    projection: tf.Tensor,
    *,
    scales: tf.Tensor | list[tf.Tensor] | None,
    valid: tf.Tensor | None,
    approximate: bool,
    stash_type: str,
) -> tf.Tensor:
    """P; arguments as in `linear_pooling`, and the projection."""
    projected, _ = library.load().bvkeras_linear_pooling_projection(
        **operation_arguments(hidden_states, kernel, bias, scales, valid),
        projection=tf.cast(projection, tf.float32),
        approximate=approximate,
        stash_type=stash_type,
    )
    return projected


def operation_arguments(
    hidden_states: tf.Tensor | list[tf.Tensor],
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    scales: tf.Tensor | list[tf.Tensor] | None,
    valid: tf.Tensor | None,
) -> dict[str, Any]:
    """What every operation takes, as it takes it."""
    if valid is None:
        valid = tf.constant(True)
    elif valid.dtype != tf.bool:
        valid = tf.cast(valid, tf.int64)
    stacked = not isinstance(hidden_states, list)
    if stacked:
        hidden_states = [hidden_states]
        scales = None if scales is None else [scales]
    return {
        "hidden_states": hidden_states,
        "scales": scales or [],
        "valid": valid,
        "kernel": tf.cast(kernel, tf.float32),
        "bias": tf.zeros(0) if bias is None else tf.cast(bias, tf.float32),
        "stacked": stacked,
    }


@tf.RegisterGradient("BvkerasLinearPooling")
def _linear_pooling_gradient(op, output_gradient, _):
    operations = library.load()
    return _gradients(
        op,
        output_gradient,
        operations.bvkeras_linear_pooling_grad,
        operations.bvkeras_linear_pooling_hidden_states_grad,
    )


@tf.RegisterGradient("BvkerasLinearPoolingProjection")
def _linear_pooling_projection_gradient(op, output_gradient, _):
    operations = library.load()
    return _gradients(
        op,
        output_gradient,
        operations.bvkeras_linear_pooling_projection_grad,
        operations.bvkeras_linear_pooling_projection_hidden_states_grad,
    )


def _gradients(op, output_gradient, weights_gradient, hidden_states_gradient):
    """One gradient for each input: of weights always, of H when asked for."""
    num_layers, num_scales = op.get_attr("N"), op.get_attr("M")
    inputs = list(op.inputs)
    hidden_states = inputs[:num_layers]
    valid, kernel, bias, *projection = inputs[num_layers + num_scales :]
    arguments = {
        "hidden_states": hidden_states,
        "scales": inputs[num_layers : num_layers + num_scales],
        "valid": valid,
        "kernel": kernel,
        "bias": bias,
        "output_gradient": output_gradient,
        "stash": op.outputs[1],
        "stacked": op.get_attr("stacked"),
        "approximate": op.get_attr("approximate"),
        "stash_type": op.get_attr("stash_type"),
    }
    if projection:
        arguments["projection"] = projection[0]
    by_weights = list(weights_gradient(**arguments))
    if bias.shape == (0,):
        by_weights[1] = None
    by_layers = [None] * num_layers
    if wants_hidden_states_gradient(op):
        by_layers = hidden_states_gradient(**arguments)
    return [*by_layers, *[None] * num_scales, None, *by_weights]


def wants_hidden_states_gradient(op: Any) -> bool:
    """Whether somebody asks for a gradient of an operation's hidden states.

    Where the tape knows whose gradients it is asked for, it says so; a graph
    drops what it does not need itself.

    Args:
        op: what TensorFlow hands to a registered gradient.
    """
    skipped = getattr(op, "skip_input_indices", None) or ()
    wanted = not set(range(op.get_attr("N"))) <= set(skipped)
    return wanted and op.inputs[0].dtype != tf.int8


def refuse_second_derivative(op: Any, *output_gradients: Any) -> None:
    """The gradient of a gradient.

    Raises:
        ArgumentError: Always; it names what to do.
    """
    raise ArgumentError(_SECOND_DERIVATIVE)


for _name in (
    "BvkerasLinearPoolingGrad",
    "BvkerasLinearPoolingHiddenStatesGrad",
    "BvkerasLinearPoolingProjectionGrad",
    "BvkerasLinearPoolingProjectionHiddenStatesGrad",
):
    tf.RegisterGradient(_name)(refuse_second_derivative)
