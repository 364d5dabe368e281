"""The layer `LinearPooling`."""

from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.ops.hidden_states import (
    dequantize,
    first_mask,
    stacked_shape,
    zero_padding,
)
from bvkeras.ops.implementation import check_implementation
from bvkeras.ops.linear_pooling import check_keep, linear_pooling


@keras.saving.register_keras_serializable(package="bvkeras")
class LinearPooling(keras.layers.Layer):
    """The same linear map over every hidden state, then an activation.

    Every token of every layer goes from `features` to `units` numbers through
    one kernel. With the default activation this is
    `bvkeras.ops.linear_pooling.linear_pooling`; with another one it is plain
    Keras.

    Input: hidden states, a tensor `(batch, tokens, layers, features)` or a
    list of layers, each `(batch, tokens, features)`, which is not stacked; or
    8-bit hidden states, a pair `(values, scales)` of int8 values in one of
    these forms and float32 scales `(batch, tokens, layers)`, or a list of
    `(batch, tokens)`. Of a wider type than the layer's compute type they are
    cast to it; of a narrower one, the native library takes them as they are
    and rounds the kernel to their type.
    Output: `(batch, tokens, layers, units)` of the layer's compute type.

    Masking: the layer takes a mask `(batch, tokens)`, by argument or from the
    layer before, and uses it up: the output is zero at padded positions, what
    the hidden states hold there reaches neither output nor gradients, and no
    mask is passed on.

    Args:
        units: int. Numbers a hidden state is mapped to, at least 1.
        activation: string, callable or `None`. Any Keras activation. Defaults
            to `"gelu"`.
        approximate: bool. Whether `"gelu"` is its tanh approximation; without
            effect on other activations. Defaults to `False`: the exact GELU,
            by erf.
        use_bias: bool. Whether a bias is added. Defaults to `True`.
        kernel_initializer: Keras initializer of the kernel `(features,
            units)`. Defaults to `"glorot_uniform"`.
        bias_initializer: Keras initializer of the bias `(units,)`. Defaults
            to `"zeros"`.
        kernel_regularizer: Keras regularizer or `None`. Defaults to `None`.
        bias_regularizer: Keras regularizer or `None`. Defaults to `None`.
        keep: string. What the native library keeps in training for the
            backward pass: `"stash"`, `"bfloat16"` or `"recompute"`, as
            `bvkeras.ops.linear_pooling.linear_pooling` explains. Outside of
            training nothing is kept. Defaults to `"stash"`.
        implementation: string. `"auto"`, `"native"` or `"reference"`, as
            `bvkeras.ops.implementation.takes_native` explains. Defaults to
            `"auto"`.
        **kwargs: Arguments of `keras.layers.Layer`, as `name` and `dtype`.

    Raises:
        ArgumentError: `units` is below 1, `keep` or `implementation` is not
            one there is, or the input is not hidden states.
        NativeLibraryError: `implementation` is `"native"`, and the library
            cannot be used.

    Example:
        ```python
        import numpy as np
        from bvkeras.layers.linear_pooling import LinearPooling

        hidden_states = np.random.normal(size=(2, 5, 7, 384))
        mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
        pooled = LinearPooling(16)(hidden_states, mask=mask)
        pooled.shape  # (2, 5, 7, 16)
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", Algorithm 1.
    """

    def __init__(
        self,
        units: int,
        activation: Any = "gelu",
        approximate: bool = False,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        keep: str = "stash",
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        # Keeps `compile(jit_compile="auto")` from choosing XLA, which would
        # compile once for every padded length and takes about twice as long
        # a step on a CPU.
        self.supports_jit = False
        # Keras would cast bfloat16 hidden states to float32, and round the
        # scales of 8-bit ones under mixed precision.
        self.autocast = False
        if units < 1:
            raise ArgumentError(
                f"units: received {units!r}, expected a positive integer"
            )
        check_keep(keep)
        check_implementation(implementation)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.approximate = approximate
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.keep = keep
        self.implementation = implementation

    def build(self, input_shape):
        features = stacked_shape(input_shape)[3]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                autocast=False,
            )

    def call(self, hidden_states, mask=None, training=False):
        mask = first_mask(mask)
        if self.activation is keras.activations.gelu:
            return linear_pooling(
                hidden_states,
                self.kernel,
                self.bias,
                approximate=self.approximate,
                mask=mask,
                compute_dtype=self.compute_dtype,
                keep=self.keep if training else "recompute",
                implementation=self.implementation,
            )
        hidden_states = dequantize(hidden_states, self.compute_dtype)
        if isinstance(hidden_states, (list, tuple)):
            hidden_states = keras.ops.stack(hidden_states, axis=2)
        hidden_states = keras.ops.cast(hidden_states, self.compute_dtype)
        hidden_states = zero_padding(hidden_states, mask)
        kernel = keras.ops.cast(self.kernel, self.compute_dtype)
        pooled = keras.ops.matmul(hidden_states, kernel)
        if self.bias is not None:
            pooled = pooled + keras.ops.cast(self.bias, self.compute_dtype)
        return zero_padding(self.activation(pooled), mask)

    def compute_mask(self, inputs, previous_mask):
        return None

    def compute_output_shape(self, input_shape):
        return (*stacked_shape(input_shape)[:3], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            units=self.units,
            activation=keras.activations.serialize(self.activation),
            approximate=self.approximate,
            use_bias=self.use_bias,
            kernel_initializer=keras.initializers.serialize(
                self.kernel_initializer
            ),
            bias_initializer=keras.initializers.serialize(
                self.bias_initializer
            ),
            kernel_regularizer=keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            bias_regularizer=keras.regularizers.serialize(
                self.bias_regularizer
            ),
            keep=self.keep,
            implementation=self.implementation,
        )
        return config
