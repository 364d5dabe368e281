"""Linear pooling of hidden states: the door every layer and model uses.

The same linear map over the features of every token and layer, then GELU;
and, in the second function, a projection of the result to a few outputs:

    Z[b,t,l,a] = Σ_e H[b,t,l,e] W[e,a] + b[a]
    Y          = GELU(Z)
    P[b,t,c]   = mask[b,t] · Σ_{l,a} Y[b,t,l,a] V[(t,)l,a,c]

| name | argument | shape |
|---|---|---|
| H | `hidden_states` | (batch, tokens, layers, features), or a list of layers, each (batch, tokens, features); or a pair of int8 values of either form and their float32 scales, (batch, tokens, layers) or a list of (batch, tokens) |
| W, b | `kernel`, `bias` | (features, units), (units,) |
| V | `projection` | (layers, units, outputs) shared by the tokens, or (tokens, layers, units, outputs), one for each position |
| mask | `mask` | (batch, tokens), true at real tokens |

With G the gradient of P: dY = G·Vᵀ, dZ = dY·GELU'(Z), dW = HᵀdZ, db = ΣdZ,
dV = YᵀG and dH = dZ·Wᵀ. Padded positions of Y and P are exactly zero, and
what H holds there, NaN included, reaches neither a result nor a gradient.

There are two implementations: the native library (kernels/), where it is
there, and plain TensorFlow, the reference. docs/kernels.md says how they are
chosen and what each computes in which type.

Source: Jiang et al. 2022, "A High Performance Compression Approach for
Transformer-Based NLP Tasks", Algorithm 1.
"""  # noqa: E501

from typing import Any

import tensorflow as tf

from bvkeras.errors import ArgumentError
from bvkeras.ops import native, native_of_products, reference
from bvkeras.ops.hidden_states import shape_of, split_scales
from bvkeras.ops.implementation import takes_matmul, takes_native

KEEP = ("stash", "bfloat16", "recompute")

_FLOATS = (tf.float32, tf.bfloat16, tf.float16, tf.float64)
# The type of Z as it is kept for the backward pass.
_STASH = {
    tf.float32: "float32",
    tf.bfloat16: "bfloat16",
    tf.float16: "float16",
    tf.int8: "bfloat16",
}


def linear_pooling(
    hidden_states: Any,
    kernel: Any,
    bias: Any | None,
    *,
    approximate: bool = False,
    mask: Any | None = None,
    lengths: Any | None = None,
    compute_dtype: Any | None = None,
    keep: str = "stash",
    implementation: str = "auto",
) -> tf.Tensor:
    """Y: the linear map over every layer's features, then GELU.

    A list of layers is never stacked; only its products are. There is no
    gradient of 8-bit hidden states and their scales.

    Args:
        hidden_states: tensor `(batch, tokens, layers, features)` or a list of
            tensors `(batch, tokens, features)`, of float32, bfloat16, float16
            or float64; or a pair `(values, scales)`, int8 values in one of
            these forms and float32 scales `(batch, tokens, layers)`, or a
            list of `(batch, tokens)`.
        kernel: tensor `(features, units)`. Rounded to the type of
            `hidden_states`, to bfloat16 for int8.
        bias: tensor `(units,)` or `None`.
        approximate: bool. Whether GELU is its tanh approximation. Defaults
            to `False`: the exact GELU, by erf.
        mask: tensor `(batch, tokens)`, bool or integer, true at real tokens,
            or `None`. Defaults to `None`.
        lengths: integer tensor `(batch,)`: that many tokens are real, the
            first ones. Instead of a mask; with neither, all are. Defaults to
            `None`.
        compute_dtype: floating type of the result. Hidden states of a wider
            type are cast to it first. Narrower ones are used as they are by
            the native library, and cast by the reference. Defaults to `None`:
            the type of the hidden states, bfloat16 for int8.
        keep: string. What the native library keeps for the backward pass:
            `"stash"`, Z in the type of the hidden states (bfloat16 for
            int8); `"bfloat16"`, for float32 Z in half that size and less
            exact, otherwise the same; `"recompute"`, nothing, and Z is
            computed again. The reference keeps what TensorFlow keeps.
            Defaults to `"stash"`.
        implementation: string. `"auto"`, `"native"` or `"reference"`, as
            `bvkeras.ops.implementation.takes_native` explains. Defaults to
            `"auto"`.

    Returns:
        Tensor `(batch, tokens, layers, units)` of `compute_dtype`; zero at
        padded positions.

    Raises:
        ArgumentError: An argument is not one of the above.
        NativeLibraryError: `implementation` is `"native"`, and the library
            cannot be used.
    """
    call = _Call(
        hidden_states, kernel, bias, mask, lengths, compute_dtype, keep
    )
    if takes_native(implementation, call.dtype):
        return call.native_operations().linear_pooling(
            call.hidden_states,
            call.kernel,
            call.bias,
            scales=call.scales,
            valid=call.valid,
            approximate=approximate,
            dtype=call.compute_dtype,
            stash_type=call.stash_type,
        )
    return reference.linear_pooling(
        call.widened_hidden_states(),
        call.kernel,
        call.bias,
        scales=call.scales,
        approximate=approximate,
        mask=call.mask(),
        dtype=call.compute_dtype,
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
    lengths: Any | None = None,
    compute_dtype: Any | None = None,
    keep: str = "stash",
    implementation: str = "auto",
) -> tf.Tensor:
    """P: `linear_pooling`, then the projection to outputs, at every token.

    The native library writes neither Y nor anything of a padded token.

    Args:
        hidden_states: As in `linear_pooling`.
        kernel: As in `linear_pooling`.
        bias: As in `linear_pooling`.
        projection: As in `project`.
        mask: As in `linear_pooling`.
        approximate: As in `linear_pooling`.
        lengths: As in `linear_pooling`.
        compute_dtype: As in `linear_pooling`, but the result's type is not
            this one.
        keep: As in `linear_pooling`.
        implementation: As in `linear_pooling`.

    Returns:
        Tensor `(batch, tokens, outputs)` of float32 (float64 for float64);
        zero at padded positions.

    Raises:
        ArgumentError: An argument is not one of the above, or there are more
            tokens than `projection` has positions.
        NativeLibraryError: As in `linear_pooling`.
    """
    call = _Call(
        hidden_states,
        kernel,
        bias,
        mask,
        lengths,
        compute_dtype,
        keep,
        projection,
    )
    checks = _length_checks(call.first, call.projection)
    with tf.control_dependencies(checks):
        if takes_native(implementation, call.dtype):
            return call.native_operations().linear_pooling_projection(
                call.hidden_states,
                call.kernel,
                call.bias,
                call.projection,
                scales=call.scales,
                valid=call.valid,
                approximate=approximate,
                stash_type=call.stash_type,
            )
        return reference.linear_pooling_projection(
            call.widened_hidden_states(),
            call.kernel,
            call.bias,
            call.projection,
            call.mask(),
            scales=call.scales,
            approximate=approximate,
        )


def check_keep(keep: str) -> None:
    """Raises ArgumentError unless `keep` is one of `KEEP`."""
    if keep not in KEEP:
        raise ArgumentError(f"keep: received {keep!r}, expected one of {KEEP}")


class _Call:
    """Checked arguments that both functions and implementations share.

    Attributes:
        hidden_states: tensor or list of tensors, not wider than
            `compute_dtype`.
        scales: in the form of `hidden_states`, or `None`.
        shape: `(batch, tokens, layers, features)` as far as it is known.
        valid: bool mask, integer lengths, or `None`.
    """

    def __init__(
        self,
        hidden_states,
        kernel,
        bias,
        mask,
        lengths,
        compute_dtype,
        keep,
        projection=None,
    ):
        values, scales = split_scales(hidden_states)
        self.hidden_states = _tensors(values)
        self.scales = None if scales is None else _tensors(scales)
        self.dtype = _checked_dtype(self.hidden_states, self.scales)
        self.shape = shape_of(
            self.hidden_states
            if scales is None
            else (self.hidden_states, self.scales)
        )
        self.compute_dtype = _checked_compute_dtype(compute_dtype, self.dtype)
        if self.dtype.size > self.compute_dtype.size:
            self.hidden_states = _cast(self.hidden_states, self.compute_dtype)
            self.dtype = self.compute_dtype
        self.kernel, self.bias = _checked_weights(kernel, bias, self.shape[3])
        if projection is not None:
            pooled_shape = (*self.shape[:3], self.kernel.shape[1])
            self.projection = _checked_projection(projection, pooled_shape)
        self.valid = _checked_valid(mask, lengths, self.shape[:2])
        check_keep(keep)
        self.stash_type = _STASH.get(self.dtype, "none")
        if keep == "recompute":
            self.stash_type = "none"
        elif keep == "bfloat16" and self.dtype == tf.float32:
            self.stash_type = "bfloat16"

    @property
    def first(self):
        """The first layer, or all layers in one."""
        if isinstance(self.hidden_states, list):
            return self.hidden_states[0]
        return self.hidden_states

    def native_operations(self):
        """The module of the native functions that this call takes."""
        if takes_matmul(self.kernel.shape[1]):
            return native_of_products
        return native

    def widened_hidden_states(self):
        """For the reference, which has one type for all operands."""
        narrow = self.dtype.size < self.compute_dtype.size
        if narrow and self.scales is None:
            return _cast(self.hidden_states, self.compute_dtype)
        return self.hidden_states

    def mask(self):
        """`valid` as a mask, or `None`."""
        if self.valid is None or self.valid.dtype == tf.bool:
            return self.valid
        tokens = tf.shape(self.first)[1]
        checks = [
            tf.debugging.assert_non_negative(
                self.valid, "lengths: received one below 0"
            ),
            tf.debugging.assert_less_equal(
                self.valid,
                tf.cast(tokens, self.valid.dtype),
                "lengths: received more than the tokens of hidden_states",
            ),
        ]
        with tf.control_dependencies([c for c in checks if c is not None]):
            return tf.sequence_mask(self.valid, tokens)


def _tensors(tensors):
    if isinstance(tensors, (list, tuple)):
        return [tf.convert_to_tensor(tensor) for tensor in tensors]
    return tf.convert_to_tensor(tensors)


def _cast(tensors, dtype):
    if isinstance(tensors, list):
        return [tf.cast(tensor, dtype) for tensor in tensors]
    return tf.cast(tensors, dtype)


def _dtypes(tensors):
    tensors = tensors if isinstance(tensors, list) else [tensors]
    return sorted({tensor.dtype.name for tensor in tensors})


def _checked_dtype(hidden_states, scales):
    names = _dtypes(hidden_states)
    expected = [dtype.name for dtype in _FLOATS]
    if scales is not None:
        expected = ["int8"]
        if _dtypes(scales) != ["float32"]:
            raise ArgumentError(
                f"scales: received dtype {', '.join(_dtypes(scales))},"
                " expected float32"
            )
    if len(names) != 1 or names[0] not in expected:
        # No layers at all is a matter of shape.
        shape_of(hidden_states)
        raise ArgumentError(
            f"hidden_states: received dtype {', '.join(names)}, expected one"
            f" of {', '.join(expected)}"
            + (", or a pair of int8 values and scales" * (scales is None))
        )
    return tf.as_dtype(names[0])


def _checked_compute_dtype(compute_dtype, dtype):
    if compute_dtype is None:
        return tf.bfloat16 if dtype == tf.int8 else dtype
    compute_dtype = tf.as_dtype(compute_dtype)
    if compute_dtype not in _FLOATS:
        raise ArgumentError(
            f"compute_dtype: received {compute_dtype.name}, expected one of"
            f" {', '.join(dtype.name for dtype in _FLOATS)}"
        )
    return compute_dtype


def _checked_weights(kernel, bias, features):
    kernel = tf.convert_to_tensor(kernel)
    if kernel.shape.rank != 2:
        raise ArgumentError(
            f"kernel: received shape {tuple(kernel.shape)}, expected"
            " (features, units)"
        )
    if features not in (None, kernel.shape[0]):
        raise ArgumentError(
            f"hidden_states: received {features} features, expected"
            f" {kernel.shape[0]}, as kernel has"
        )
    if bias is not None:
        bias = tf.convert_to_tensor(bias)
        if not bias.shape.is_compatible_with(kernel.shape[1:]):
            raise ArgumentError(
                f"bias: received shape {tuple(bias.shape)}, expected (units,)"
                f" = {tuple(kernel.shape[1:])}, as kernel has"
            )
    return kernel, bias


def _checked_valid(mask, lengths, shape):
    if mask is not None and lengths is not None:
        raise ArgumentError("lengths: received with mask, expected one of them")
    if mask is not None:
        mask = tf.cast(mask, tf.bool)
        if not mask.shape.is_compatible_with(shape):
            raise ArgumentError(
                f"mask: received shape {tuple(mask.shape)}, expected (batch,"
                f" tokens) = {tuple(shape)}, as hidden_states has"
            )
        return mask
    if lengths is None:
        return None
    lengths = tf.convert_to_tensor(lengths)
    if not lengths.dtype.is_integer:
        raise ArgumentError(
            f"lengths: received dtype {lengths.dtype.name}, expected integers"
        )
    if not lengths.shape.is_compatible_with(shape[:1]):
        raise ArgumentError(
            f"lengths: received shape {tuple(lengths.shape)}, expected"
            f" (batch,) = {tuple(shape[:1])}, as hidden_states has"
        )
    return lengths


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
