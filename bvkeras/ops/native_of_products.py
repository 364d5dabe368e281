"""TensorFlow's matmul, and the native operations that do what follows it.

For GPUs and many units, where products are what takes the time: `bvkeras.ops.
implementation.takes_matmul` says when. The functions are those of
`bvkeras.ops.native`, and so are their arguments.

The operations get hidden states and kernel too, though they read the products
alone: so their gradients are all given at once, and that of the hidden states
only to who asks for it.
"""

import tensorflow as tf

from bvkeras.ops import library, native
from bvkeras.ops.hidden_states import zero_padding


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
    """Y; see `bvkeras.ops.native.linear_pooling`."""
    arguments = native.operation_arguments(
        hidden_states, kernel, bias, scales, valid
    )
    return library.load().bvkeras_linear_pooling_of_products(
        **arguments,
        **_products_and_kept(arguments, stash_type),
        approximate=approximate,
        pooled_type=dtype,
    )


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
    """P; see `bvkeras.ops.native.linear_pooling_projection`."""
    arguments = native.operation_arguments(
        hidden_states, kernel, bias, scales, valid
    )
    return library.load().bvkeras_linear_pooling_projection_of_products(
        **arguments,
        **_products_and_kept(arguments, stash_type),
        projection=tf.cast(projection, tf.float32),
        approximate=approximate,
    )


def products_of(
    hidden_states: list[tf.Tensor], kernel: tf.Tensor
) -> list[tf.Tensor]:
    """H W of every tensor, in the type that H is multiplied in.

    Args:
        hidden_states: list of tensors `(..., features)`.
        kernel: float32 tensor `(features, units)`.

    Returns:
        List of tensors `(..., units)`.
    """
    dtype = _operand_dtype(hidden_states[0].dtype)
    kernel = tf.cast(kernel, dtype)
    return [
        tf.tensordot(tf.cast(values, dtype), kernel, axes=1)
        for values in hidden_states
    ]


def kernel_gradient(
    hidden_states: list[tf.Tensor],
    valid: tf.Tensor,
    product_gradients: list[tf.Tensor],
) -> tf.Tensor:
    """dW in float32, given the products' gradients.

    Args:
        hidden_states: list of tensors `(batch, tokens, ..., features)`.
        valid: bool mask `(batch, tokens)`, int64 lengths `(batch,)`, or true.
        product_gradients: list of tensors `(batch, tokens, ..., units)`.
    """
    parts = []
    for values, gradient in zip(hidden_states, product_gradients, strict=True):
        if values.dtype != tf.int8:
            # A NaN of a padded token times its gradient, zero, would be one.
            values = zero_padding(values, _mask(valid, values))
        values = tf.cast(values, gradient.dtype)
        product = tf.matmul(
            _as_rows(values), _as_rows(gradient), transpose_a=True
        )
        parts.append(tf.cast(product, tf.float32))
    return tf.add_n(parts)


def hidden_states_gradient(
    hidden_states: list[tf.Tensor],
    kernel: tf.Tensor,
    product_gradients: list[tf.Tensor],
) -> list[tf.Tensor]:
    """dH of every tensor; arguments as in the other functions."""
    kernel = tf.cast(kernel, product_gradients[0].dtype)
    return [
        tf.reshape(
            tf.matmul(_as_rows(gradient), kernel, transpose_b=True),
            tf.shape(values),
        )
        for values, gradient in zip(
            hidden_states, product_gradients, strict=True
        )
    ]


def _products_and_kept(arguments, stash_type):
    products = [
        tf.stop_gradient(product)
        for product in products_of(
            arguments["hidden_states"], arguments["kernel"]
        )
    ]
    kept = []
    if stash_type != "none":
        kept = [tf.cast(product, stash_type) for product in products]
    return {"products": products, "kept": kept}


@tf.RegisterGradient("BvkerasLinearPoolingOfProducts")
def _linear_pooling_gradient(op, output_gradient):
    operation = library.load().bvkeras_linear_pooling_of_products_grad
    return _gradients(op, output_gradient, operation)


@tf.RegisterGradient("BvkerasLinearPoolingProjectionOfProducts")
def _linear_pooling_projection_gradient(op, output_gradient):
    operations = library.load()
    return _gradients(
        op,
        output_gradient,
        operations.bvkeras_linear_pooling_projection_of_products_grad,
    )


def _gradients(op, output_gradient, operation):
    """One gradient for each input: of weights always, of H when asked for."""
    num_layers, num_scales = op.get_attr("N"), op.get_attr("M")
    num_kept = op.get_attr("K")
    inputs = list(op.inputs)
    hidden_states = inputs[:num_layers]
    valid, kernel, bias, *others = inputs[num_layers + num_scales :]
    kept = others[len(others) - num_kept :]
    projection = others[: len(others) - num_kept - num_layers]
    arguments = {
        "hidden_states": hidden_states,
        "scales": inputs[num_layers : num_layers + num_scales],
        "valid": valid,
        "kernel": kernel,
        "bias": bias,
        "output_gradient": output_gradient,
        "stacked": op.get_attr("stacked"),
        "approximate": op.get_attr("approximate"),
    }
    if projection:
        arguments["projection"] = projection[0]
    if kept:
        dtype = _operand_dtype(hidden_states[0].dtype)
        products = [tf.cast(product, dtype) for product in kept]
    else:
        # Not before it is needed; and TensorFlow would take the forward
        # pass's product for the same thing, and keep that.
        with tf.control_dependencies([output_gradient]):
            late = [tf.identity(values) for values in hidden_states]
        products = products_of(late, kernel)
    result = operation(**arguments, products=products)
    by_layers = [None] * num_layers
    if native.wants_hidden_states_gradient(op):
        by_layers = hidden_states_gradient(
            hidden_states, kernel, result.product_gradients
        )
    by_weights = [
        kernel_gradient(hidden_states, valid, result.product_gradients),
        None if bias.shape == (0,) else result.bias_gradient,
    ]
    if projection:
        by_weights.append(result.projection_gradient)
    return [
        *by_layers,
        *[None] * num_scales,
        None,
        *by_weights,
        *[None] * (num_layers + num_kept),
    ]


def _operand_dtype(dtype):
    return tf.bfloat16 if dtype == tf.int8 else dtype


def _as_rows(tensor):
    width = tensor.shape[-1] or tf.shape(tensor)[-1]
    return tf.reshape(tensor, (-1, width))


def _mask(valid, values):
    if valid.shape.rank == 0:
        return None
    if valid.dtype == tf.bool:
        return valid
    return tf.sequence_mask(valid, tf.shape(values)[1])


for _name in (
    "BvkerasLinearPoolingOfProductsGrad",
    "BvkerasLinearPoolingProjectionOfProductsGrad",
):
    tf.RegisterGradient(_name)(native.refuse_second_derivative)
