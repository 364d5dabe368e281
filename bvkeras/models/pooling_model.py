"""What the pooling classifier, regressor and span model share."""

import math
from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.layers.linear_pooling import LinearPooling
from bvkeras.layers.scalar_mix import ScalarMix
from bvkeras.models.masked_inputs import built_sizes, real_tokens, split_mask
from bvkeras.ops.implementation import check_implementation
from bvkeras.ops.linear_pooling import (
    check_keep,
    linear_pooling_projection,
    project,
)

POOLERS = ("linear", "scalar_mix")


class PoolingModel(keras.Model):
    """Pooled hidden states of a whole sequence, projected to a few outputs.

    `outputs[b,c] = Σ_{t,l,a} Y[b,t,l,a] V[t,l,a,c] + d[c]` over the real
    tokens t, with Y of `bvkeras.layers.linear_pooling.LinearPooling`. Without
    a `sequence_length` all tokens have one V, and the mean over t takes the
    place of the sum. A model with outputs for every token has one V for all
    of them, too, and leaves out the sum.

    Args:
        num_outputs: int. Outputs of the projection.
        sequence_length: int or None. None is one V for all tokens.

    Attributes:
        per_token: bool. Whether every token has outputs.

    The other arguments, the inputs and the errors are those of
    `bvkeras.models.pooling_classifier.PoolingClassifier`.
    """

    per_token = False

    def __init__(
        self,
        num_outputs: int,
        units: int,
        sequence_length: int | None = None,
        num_layers: int | None = None,
        hidden_dim: int | None = None,
        approximate: bool = False,
        dropout: float = 0.0,
        pooler: str = "linear",
        kernel_initializer: Any = "glorot_uniform",
        projection_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        keep: str = "stash",
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        # Hidden states reach linear pooling in the type they come in.
        self.autocast = False
        for name, value in (
            ("units", units),
            ("sequence_length", sequence_length),
            ("num_layers", num_layers),
            ("hidden_dim", hidden_dim),
        ):
            if value is not None and value < 1:
                raise ArgumentError(
                    f"{name}: received {value!r}, expected a positive integer"
                )
        if not 0 <= dropout < 1:
            raise ArgumentError(
                f"dropout: received {dropout!r}, expected a number from 0 up"
                " to, but not including, 1"
            )
        if pooler not in POOLERS:
            raise ArgumentError(
                f"pooler: received {pooler!r}, expected one of {POOLERS}"
            )
        check_keep(keep)
        check_implementation(implementation)
        self.num_outputs = num_outputs
        self.units = units
        self.sequence_length = sequence_length
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.approximate = approximate
        self.dropout = dropout
        self.pooler = pooler
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.projection_initializer = keras.initializers.get(
            projection_initializer
        )
        self.seed = seed
        self.keep = keep
        self.implementation = implementation

        self.scalar_mix = None
        if pooler == "scalar_mix":
            self.scalar_mix = ScalarMix(
                dtype=self.dtype_policy, name="scalar_mix"
            )
        self.linear_pooling = LinearPooling(
            units,
            approximate=approximate,
            kernel_initializer=self.kernel_initializer,
            keep=keep,
            implementation=implementation,
            dtype=self.dtype_policy,
            name="linear_pooling",
        )
        self.pooled_dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
        )
        if num_layers is not None and hidden_dim is not None:
            self.build((None, sequence_length, num_layers, hidden_dim))

    def build(self, input_shape):
        num_layers, hidden_dim = built_sizes(
            input_shape, self.num_layers, self.hidden_dim
        )
        if self.scalar_mix is not None:
            self.scalar_mix.build((None, None, num_layers, hidden_dim))
            num_layers = 1
        self.linear_pooling.build((None, None, num_layers, hidden_dim))
        features = (num_layers, self.units)
        if self.sequence_length is not None:
            features = (self.sequence_length, *features)
        self._projection_shape = (*features, self.num_outputs)
        # Stored as the kernel of a Dense on the flattened features, for its
        # initializer to see that fan-in. Without autocast: the last sum runs
        # over the whole sequence and stays in float32 under mixed precision.
        self.projection = self.add_weight(
            name="projection",
            shape=(math.prod(features), self.num_outputs),
            initializer=self.projection_initializer,
            autocast=False,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(self.num_outputs,),
            initializer="zeros",
            autocast=False,
        )
        self.built = True

    def summary(self, *args, print_fn=None, **kwargs):
        super().summary(*args, print_fn=print_fn, **kwargs)
        if self.built:
            # Keras counts what layers have, and these are the model's own.
            (print_fn or print)(
                f" Beside its layers: projection {self.projection.shape}, "
                f"bias {self.bias.shape}. All parameters: "
                f"{self.count_params():,}"
            )

    @property
    def input_sizes(self) -> tuple[int, int]:
        """Layers and features of the hidden states it was built for."""
        hidden_dim = self.linear_pooling.kernel.shape[0]
        if self.scalar_mix is not None:
            return self.scalar_mix.layer_weights.shape[0], hidden_dim
        return self._projection_shape[-3], hidden_dim

    def call(self, inputs, mask=None, training=False):
        hidden_states, mask = split_mask(inputs, mask)
        if self.scalar_mix is not None:
            mixed = self.scalar_mix(hidden_states, mask=mask)
            hidden_states = keras.ops.expand_dims(mixed, 2)

        projection = keras.ops.reshape(self.projection, self._projection_shape)
        if training and self.dropout:
            pooled = self.linear_pooling(hidden_states, mask=mask)
            projected = project(self.pooled_dropout(pooled), projection)
        else:
            projected = linear_pooling_projection(
                hidden_states,
                self.linear_pooling.kernel,
                self.linear_pooling.bias,
                projection,
                mask,
                approximate=self.approximate,
                compute_dtype=self.compute_dtype,
                keep=self.keep if training else "recompute",
                implementation=self.implementation,
            )
        return self._outputs(projected, mask)

    def layer_contributions(self, hidden_states, mask=None):
        """What each pooled layer adds to the outputs at every token.

        Summed over layers (and tokens, where outputs are of a sequence), with
        the bias, these are the model's outputs. With `pooler="scalar_mix"`
        there is one layer, the mix.

        Args:
            hidden_states: as the model takes them.
            mask: bool tensor `(batch, tokens)`, true at real tokens. Defaults
                to all.

        Returns:
            float32 tensor `(batch, tokens, layers, outputs)`, zero where
            `mask` is false.
        """
        if self.scalar_mix is not None:
            mixed = self.scalar_mix(hidden_states, mask=mask)
            hidden_states = keras.ops.expand_dims(mixed, 2)
        pooled = self.linear_pooling(hidden_states, mask=mask)
        pooled = keras.ops.cast(pooled, "float32")
        projection = keras.ops.reshape(
            keras.ops.cast(self.projection, "float32"), self._projection_shape
        )
        if self.sequence_length is None:
            found = keras.ops.einsum("btla,lac->btlc", pooled, projection)
            if self.per_token:
                return found
            tokens = real_tokens(mask, keras.ops.shape(pooled)[1])
            return found / keras.ops.reshape(tokens, (-1, 1, 1, 1))
        projection = projection[: keras.ops.shape(pooled)[1]]
        return keras.ops.einsum("btla,tlac->btlc", pooled, projection)

    def _outputs(self, projected, mask):
        """What the model gives, of the projection at every token.

        Args:
            projected: tensor `(batch, tokens, outputs)`, zero where `mask`
                is false.
            mask: tensor `(batch, tokens)` or None.
        """
        outputs = keras.ops.sum(projected, axis=1)
        if self.sequence_length is None:
            tokens = real_tokens(mask, keras.ops.shape(projected)[1])
            outputs = outputs / keras.ops.cast(tokens, outputs.dtype)
        return outputs + keras.ops.cast(self.bias, outputs.dtype)

    def compute_mask(self, inputs, previous_mask):
        return None

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            num_outputs=self.num_outputs,
            units=self.units,
            sequence_length=self.sequence_length,
            num_layers=self.num_layers,
            hidden_dim=self.hidden_dim,
            approximate=self.approximate,
            dropout=self.dropout,
            pooler=self.pooler,
            kernel_initializer=keras.initializers.serialize(
                self.kernel_initializer
            ),
            projection_initializer=keras.initializers.serialize(
                self.projection_initializer
            ),
            seed=self.seed,
            keep=self.keep,
            implementation=self.implementation,
        )
        return config
