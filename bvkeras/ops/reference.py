"""Linear pooling in plain TensorFlow: the definition.

Every other implementation is judged by this one. The maths and the shapes
stand in `bvkeras.ops.linear_pooling`, which also checks the arguments.

Products run in the type of the hidden states, as TensorFlow's matmul does
them; biases, GELU and sums are in float32 (float64 for float64). Of 8-bit
hidden states the values are multiplied with a kernel rounded to bfloat16, in
float32, and the scales multiply the product. Of float16 a product is cut to
the largest number of that type, and has no gradient there.
"""

import tensorflow as tf

from bvkeras.ops.hidden_states import zero_padding


def linear_pooling(
    hidden_states: tf.Tensor | list[tf.Tensor],
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    *,
    scales: tf.Tensor | list[tf.Tensor] | None = None,
    approximate: bool = False,
    mask: tf.Tensor | None = None,
    dtype: tf.DType,
) -> tf.Tensor:
    """See `bvkeras.ops.linear_pooling.linear_pooling`."""
    pooled = _pooled(hidden_states, scales, kernel, bias, approximate, mask)
    return tf.cast(pooled, dtype)


def project(pooled: tf.Tensor, projection: tf.Tensor) -> tf.Tensor:
    """See `bvkeras.ops.linear_pooling.project`."""
    sum_dtype = _sum_dtype(pooled.dtype)
    pooled = tf.cast(pooled, sum_dtype)
    projection = tf.cast(projection, sum_dtype)
    if projection.shape.rank == 3:
        return tf.einsum("btla,lac->btc", pooled, projection)
    return tf.einsum(
        "btla,tlac->btc", pooled, projection[: tf.shape(pooled)[1]]
    )


def linear_pooling_projection(
    hidden_states: tf.Tensor | list[tf.Tensor],
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    projection: tf.Tensor,
    mask: tf.Tensor | None = None,
    *,
    scales: tf.Tensor | list[tf.Tensor] | None = None,
    approximate: bool = False,
) -> tf.Tensor:
    """See `bvkeras.ops.linear_pooling.linear_pooling_projection`."""
    pooled = _pooled(hidden_states, scales, kernel, bias, approximate, mask)
    return project(pooled, projection)


def _pooled(hidden_states, scales, kernel, bias, approximate, mask):
    # The kernel's gradient multiplies hidden states by zero at padded
    # positions: a NaN there must be gone before the product, not after. This
    # costs one copy of the hidden states; without a mask there is none.
    hidden_states = zero_padding(hidden_states, mask)
    if scales is not None:
        scales = zero_padding(scales, mask)
        kernel = _rounded_to_bfloat16(kernel)
    if isinstance(hidden_states, (list, tuple)):
        # Through float32, so that there the layers' gradients are added up.
        kernel = tf.cast(kernel, _sum_dtype(hidden_states[0].dtype))
        scales = scales or [None] * len(hidden_states)
        # Stacking the products copies units, not features, numbers a token.
        pooled = tf.stack(
            [
                _product(layer, scale, kernel)
                for layer, scale in zip(hidden_states, scales, strict=True)
            ],
            axis=2,
        )
    else:
        pooled = _product(hidden_states, scales, kernel)
    if bias is not None:
        pooled += tf.cast(bias, pooled.dtype)
    return zero_padding(tf.nn.gelu(pooled, approximate), mask)


def _product(hidden_states, scales, kernel):
    if scales is not None:
        product = tf.tensordot(
            tf.cast(hidden_states, tf.float32), kernel, axes=1
        )
        return product * scales[..., tf.newaxis]
    kernel = tf.cast(kernel, hidden_states.dtype)
    product = tf.tensordot(hidden_states, kernel, axes=1)
    if product.dtype == tf.float16:
        # All beyond is infinity, and of that every gradient would be NaN.
        most = tf.float16.max
        product = tf.minimum(tf.maximum(product, -most), most)
    return tf.cast(product, _sum_dtype(product.dtype))


def _rounded_to_bfloat16(kernel):
    """The kernel's values rounded; its gradient is not."""
    kernel = tf.cast(kernel, tf.float32)
    rounded = tf.cast(tf.cast(kernel, tf.bfloat16), tf.float32)
    return kernel + tf.stop_gradient(rounded - kernel)


def _sum_dtype(dtype):
    return tf.float64 if dtype == tf.float64 else tf.float32
