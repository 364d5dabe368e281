"""The model `LinearProbe`."""

import math
from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.models.masked_inputs import built_sizes, real_tokens, split_mask
from bvkeras.ops.hidden_states import dequantize, shape_of, zero_padding
from bvkeras.ops.text_pairs import FIRST, SECOND, pair_features


@keras.saving.register_keras_serializable(package="bvkeras")
class LinearProbe(keras.Model):
    """One linear map of the mean of all hidden states of a text.

    `outputs[b] = Σ_{l,e} mean_t(states[b,t,l,e]) W[l,e] + d` over the real
    tokens t: what logistic and ridge regression give on that mean, and the
    baseline a pooled head has to beat. `bvkeras.train_regression` finds the
    weights with scikit-learn.

    With `pairs` a text is two that were encoded each by itself, and what is
    mapped are, of every hidden state, the cosine of both means, their
    difference without its sign, and their product
    (`bvkeras.ops.text_pairs.pair_features`).

    Of two classes there is one logit, as in scikit-learn: the second class's,
    with zero in the place of the first's. Of labels, of which a text has any
    number, each has its own logit.

    Input: hidden states in any of the forms that
    `bvkeras.models.pooling_classifier.PoolingClassifier` takes, alone or in a
    pair with a mask `(batch, tokens)`, true at real tokens; of `pairs` it is 1
    at those of the first text and 2 at those of the second.
    Output: float32 logits `(batch, num_classes)`, or `(batch, 1)` without
    classes, whatever the dtype policy.

    Masking: a mask in the pair, by argument or from the layer before. Padded
    positions contribute nothing, whatever the hidden states hold there.

    Args:
        num_classes: int or None. Number of classes, at least 2. Defaults to
            `None`: one number, a score.
        num_layers: int. Hidden states of each token. Defaults to `None`:
            taken from the first input.
        hidden_dim: int. Features of a hidden state. Defaults to `None`: taken
            from the first input. With both given, the model is built at once.
        kernel_initializer: Keras initializer of W, stored as `(layers ·
            features, outputs)`. Defaults to `"zeros"`.
        several_labels: bool. Whether `num_classes` are labels, at least 1, of
            which a text has any number. Defaults to `False`.
        pairs: bool. Whether an input is two texts. Defaults to `False`.
        **kwargs: Arguments of `keras.Model`, as `name` and `dtype`.

    Raises:
        ArgumentError: An argument is out of its range, or hidden states have
            another number of layers or features than the model; or there are
            pairs and no mask.

    Example:
        ```python
        import numpy as np
        from bvkeras.models.linear_probe import LinearProbe

        hidden_states = np.random.normal(size=(8, 5, 7, 384))
        model = LinearProbe(num_classes=2)
        model.predict(hidden_states).shape  # (8, 2)
        model.count_params()  # 2689
        ```

    Reference:
        Alain and Bengio 2016, "Understanding intermediate layers using linear
        classifier probes".
    """

    # What every head says: whether each token has outputs.
    per_token = False

    def __init__(
        self,
        num_classes: int | None = None,
        num_layers: int | None = None,
        hidden_dim: int | None = None,
        kernel_initializer: Any = "zeros",
        several_labels: bool = False,
        pairs: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        # The mean casts what it reads; Keras would round the scales of 8-bit
        # hidden states under mixed precision.
        self.autocast = False
        check_probe_sizes(num_classes, num_layers, hidden_dim, several_labels)
        self.num_classes = num_classes
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.several_labels = several_labels
        self.pairs = pairs
        if num_layers is not None and hidden_dim is not None:
            self.build((None, None, num_layers, hidden_dim))

    def build(self, input_shape):
        self._sizes = built_sizes(input_shape, self.num_layers, self.hidden_dim)
        outputs = self.num_classes or 1
        if self._has_one_logit:
            outputs = 1
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_features, outputs),
            initializer=self.kernel_initializer,
            autocast=False,
        )
        self.bias = self.add_weight(
            name="bias", shape=(outputs,), initializer="zeros", autocast=False
        )
        self.built = True

    @property
    def input_sizes(self) -> tuple[int, int]:
        """Layers and features of the hidden states it was built for."""
        return self._sizes

    def call(self, inputs, mask=None):
        return self.outputs_of(self._features_of(inputs, mask))

    def _features_of(self, inputs, mask):
        hidden_states, mask = split_mask(inputs, mask)
        self._check(hidden_states, mask)
        return self.features(hidden_states, mask)

    def features(self, hidden_states: Any, mask: Any) -> Any:
        """What the linear map sees of hidden states.

        Args:
            hidden_states: in any of their forms.
            mask: tensor `(batch, tokens)`, or `None`.

        Returns:
            float32 tensor `(batch, num_features)`.
        """
        if not self.pairs:
            return token_mean(hidden_states, mask)
        shape = (-1, *self._sizes)
        first, second = (
            keras.ops.reshape(token_mean(hidden_states, mask == text), shape)
            for text in (FIRST, SECOND)
        )
        return pair_features(first, second)

    def outputs_of(self, features: Any) -> Any:
        """The linear map, of what `features` gives."""
        outputs = keras.ops.matmul(features, self.kernel) + self.bias
        if self._has_one_logit:
            return keras.ops.pad(outputs, ((0, 0), (1, 0)))
        return outputs

    @property
    def num_features(self) -> int:
        """Numbers the linear map sees of an input."""
        num_layers, hidden_dim = self._sizes
        if self.pairs:
            return num_layers * (1 + 2 * hidden_dim)
        return num_layers * hidden_dim

    @property
    def _has_one_logit(self) -> bool:
        return self.num_classes == 2 and not self.several_labels

    def _check(self, hidden_states, mask):
        if self.pairs and mask is None:
            raise ArgumentError(
                "mask: expected 1 at tokens of the first text and 2 at those "
                "of the second, got none"
            )
        # The product alone would take 2 layers of 3 features for 3 of 2.
        received = shape_of(hidden_states)[2:]
        for size, expected in zip(received, self._sizes, strict=True):
            if size not in (None, expected):
                raise ArgumentError(
                    f"hidden_states: received {received} layers and features,"
                    f" expected {self._sizes}"
                )

    def compute_mask(self, inputs, previous_mask):
        return None

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            num_classes=self.num_classes,
            num_layers=self.num_layers,
            hidden_dim=self.hidden_dim,
            kernel_initializer=keras.initializers.serialize(
                self.kernel_initializer
            ),
            several_labels=self.several_labels,
            pairs=self.pairs,
        )
        return config


def check_probe_sizes(
    num_classes: int | None,
    num_layers: int | None,
    hidden_dim: int | None,
    several_labels: bool,
) -> None:
    """Refuses sizes that no `LinearProbe` can have; None is any.

    Raises:
        ArgumentError: one of them is too small; names it.
    """
    for name, value, least in (
        ("num_classes", num_classes, 1 if several_labels else 2),
        ("num_layers", num_layers, 1),
        ("hidden_dim", hidden_dim, 1),
    ):
        if value is not None and value < least:
            raise ArgumentError(
                f"{name}: received {value!r}, expected at least {least}"
            )


def token_mean(hidden_states: Any, mask: Any) -> Any:
    """The mean of all hidden states over the real tokens.

    Args:
        hidden_states: in any of the forms that `LinearProbe` takes.
        mask: tensor `(batch, tokens)`, true at real tokens, or `None`.

    Returns:
        float32 tensor `(batch, layers · features)`, zero of a text without
        tokens.
    """
    states = zero_padding(dequantize(hidden_states, "float32"), mask)
    if isinstance(states, (list, tuple)):
        count = keras.ops.shape(states[0])[1]
        sums = keras.ops.stack([_token_sum(layer) for layer in states], axis=1)
    else:
        count = keras.ops.shape(states)[1]
        sums = _token_sum(states)
    flat = keras.ops.reshape(sums, (-1, math.prod(sums.shape[1:])))
    return flat / real_tokens(mask, count)


def _token_sum(states):
    return keras.ops.sum(keras.ops.cast(states, "float32"), axis=1)
