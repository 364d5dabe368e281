"""The model `WeightedProbe`."""

from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.models.linear_probe import LinearProbe, check_probe_sizes
from bvkeras.ops.text_pairs import pair_features
from bvkeras.ops.weighted_mean import by_layers, read_masks, weighted_means


@keras.saving.register_keras_serializable(package="bvkeras")
class WeightedProbe(LinearProbe):
    """One linear map of weighted means of all hidden states of a text.

    A `bvkeras.models.LinearProbe` that learns which tokens matter: each layer
    has a query, and a token's weight in the layer's mean is the softmax of
    its product with the query (`bvkeras.ops.weighted_mean`). With queries of
    zero, which is where it starts, it is the `LinearProbe`; training begins
    at what a regression on the plain means found, and can only go on from
    there.

    Input, output, masking and the arguments not named here are those of
    `LinearProbe`; of `pairs` both texts' tokens are weighted by the same
    queries.

    Args:
        dropout: float. Share of the features dropped in training, from 0 to
            below 1. Defaults to `0.0`.
        seed: int. Seed of dropout. Defaults to `None`.
        query_initializer: Keras initializer of the queries `(layers,
            features)`. Defaults to `"zeros"`.

    Raises:
        ArgumentError: As `LinearProbe`, or `dropout` is out of its range.

    Example:
        ```python
        import numpy as np
        from bvkeras.models.weighted_probe import WeightedProbe

        hidden_states = np.random.normal(size=(8, 5, 7, 384))
        model = WeightedProbe(num_classes=2)
        model.predict(hidden_states).shape  # (8, 2)
        model.count_params()  # 5377
        ```

    Reference:
        Alain and Bengio 2016, "Understanding intermediate layers using linear
        classifier probes"; Yang et al. 2016, "Hierarchical Attention Networks
        for Document Classification", for the weights.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        num_layers: int | None = None,
        hidden_dim: int | None = None,
        kernel_initializer: Any = "zeros",
        several_labels: bool = False,
        pairs: bool = False,
        dropout: float = 0.0,
        seed: int | None = None,
        query_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        if not 0 <= dropout < 1:
            raise ArgumentError(
                f"dropout: received {dropout!r}, expected a number from 0 up"
                " to, but not including, 1"
            )
        check_probe_sizes(num_classes, num_layers, hidden_dim, several_labels)
        # Without the sizes: it would build before there is a query's start.
        super().__init__(
            num_classes=num_classes,
            kernel_initializer=kernel_initializer,
            several_labels=several_labels,
            pairs=pairs,
            **kwargs,
        )
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.query_initializer = keras.initializers.get(query_initializer)
        self.dropout = dropout
        self.seed = seed
        self.feature_dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype="float32", name="dropout"
        )
        if num_layers is not None and hidden_dim is not None:
            self.build((None, None, num_layers, hidden_dim))

    def build(self, input_shape):
        super().build(input_shape)
        self.query = self.add_weight(
            name="query",
            shape=self._sizes,
            initializer=self.query_initializer,
            autocast=False,
        )

    @property
    def projection(self) -> keras.Variable:
        """The linear map's kernel, by its name in other heads."""
        return self.kernel

    def call(self, inputs, mask=None, training=False):
        features = self._features_of(inputs, mask)
        if training and self.dropout:
            features = self.feature_dropout(features)
        return self.outputs_of(features)

    def features(self, hidden_states: Any, mask: Any) -> Any:
        means = self._means(hidden_states, mask)
        if self.pairs:
            return pair_features(*means)
        return keras.ops.reshape(means[0], (-1, self.num_features))

    def layer_contributions(self, hidden_states, mask=None):
        """What each layer adds to the outputs.

        Summed over layers, with the bias, these are the model's outputs; of
        two classes, whose first logit is 0, those of the second alone.

        Args:
            hidden_states: as the model takes them.
            mask: tensor `(batch, tokens)`. Defaults to all real.

        Returns:
            float32 tensor `(batch, 1, layers, outputs)`.
        """
        features = self.features(hidden_states, mask)
        num_layers, hidden_dim = self._sizes
        parts, start = 0.0, 0
        widths = (1, hidden_dim, hidden_dim) if self.pairs else (hidden_dim,)
        for width in widths:
            stop = start + num_layers * width
            rows = keras.ops.reshape(
                self.kernel[start:stop], (num_layers, width, -1)
            )
            own = keras.ops.reshape(
                features[:, start:stop], (-1, num_layers, width)
            )
            parts = parts + keras.ops.einsum("blf,lfc->blc", own, rows)
            start = stop
        return parts[:, None]

    def _means(self, hidden_states, mask):
        states = by_layers(hidden_states, mask)
        masks = read_masks(mask, states, self.pairs)
        return weighted_means(
            states, keras.ops.convert_to_tensor(self.query), masks
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            dropout=self.dropout,
            seed=self.seed,
            query_initializer=keras.initializers.serialize(
                self.query_initializer
            ),
        )
        return config
