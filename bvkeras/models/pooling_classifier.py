"""The model `PoolingClassifier`."""

from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_model import PoolingModel


@keras.saving.register_keras_serializable(package="bvkeras")
class PoolingClassifier(PoolingModel):
    """A tiny classifier of sequences on all hidden states of an encoder.

    `LinearPooling` maps every hidden state to `units` numbers; one linear map
    over all of them gives the classes. With a `sequence_length` it has weights
    for each position, as the paper's has. Without one all tokens share their
    weights and the logits are the mean over the real tokens: fewer weights by
    as many times as there are tokens, and texts of any length.

    Input: hidden states, a tensor `(batch, tokens, layers, features)`, a
    list of layers, each `(batch, tokens, features)`, or 8-bit hidden states,
    a pair `(values, scales)` as `bvkeras.layers.LinearPooling` takes them; or
    the pair `(hidden_states, mask)` with hidden states in any of these forms
    and a mask `(batch, tokens)`, true at real tokens. `tokens` is at most
    `sequence_length`, if there is one; fewer give what padding up to it would
    give.
    Output: logits `(batch, num_classes)`, in float32 under mixed precision
    too: train with `from_logits=True`.

    Masking: a mask in the pair, by argument or from the layer before. Padded
    positions contribute nothing, whatever the hidden states hold there.

    Args:
        num_classes: int. Number of classes, or of labels where a text has
            any number of them: then train each logit by itself, with
            `keras.losses.BinaryCrossentropy(from_logits=True)`. At least 1.
        units: int. Numbers each hidden state is pooled to.
        sequence_length: int or None. Most tokens of a sequence, each position
            with weights of its own. Defaults to `None`: the tokens share
            them, and the mean is taken.
        num_layers: int. Hidden states of each token: the encoder's layers and
            one more for its embeddings. Defaults to `None`: taken from the
            first input.
        hidden_dim: int. Features of a hidden state. Defaults to `None`: taken
            from the first input. With both given, the model is built at once.
        approximate: bool. Whether GELU is its tanh approximation. Defaults to
            `False`: the exact GELU, by erf.
        dropout: float. Share of the pooled features dropped in training, from
            0 to below 1. Defaults to `0.0`.
        pooler: string. `"linear"`, or `"scalar_mix"`, which first mixes the
            layers to one (`bvkeras.layers.scalar_mix.ScalarMix`). Defaults
            to `"linear"`.
        kernel_initializer: Keras initializer of the pooling kernel. Defaults
            to `"glorot_uniform"`.
        projection_initializer: Keras initializer of the projection `(tokens ·
            layers · units, num_classes)`, without `sequence_length` `(layers
            · units, num_classes)`. Defaults to `"glorot_uniform"`.
        seed: int. Seed of dropout. Defaults to `None`.
        keep: string. What the native library keeps in training for the
            backward pass, as `bvkeras.layers.LinearPooling` explains.
            Defaults to `"stash"`.
        implementation: string. `"auto"`, `"native"` or `"reference"`, as
            there. Defaults to `"auto"`.
        **kwargs: Arguments of `keras.Model`, as `name` and `dtype`.

    Raises:
        ArgumentError: An argument is out of its range, or hidden states have
            another number of layers or features, or more tokens, than the
            model.

    Example:
        ```python
        import keras
        import numpy as np
        from bvkeras.models.pooling_classifier import PoolingClassifier

        hidden_states = np.random.normal(size=(8, 5, 7, 384))
        mask = np.ones((8, 5), bool)
        labels = np.arange(8) % 2
        model = PoolingClassifier(num_classes=2, units=16, sequence_length=5)
        model.compile(
            "adam",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit((hidden_states, mask), labels)
        model.predict((hidden_states, mask)).shape  # (8, 2)
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", Algorithm 1 and section on GLUE.
    """

    def __init__(
        self,
        num_classes: int,
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
        if num_classes < 1:
            raise ArgumentError(
                f"num_classes: received {num_classes!r}, expected at least 1"
            )
        super().__init__(
            num_outputs=num_classes,
            units=units,
            sequence_length=sequence_length,
            num_layers=num_layers,
            hidden_dim=hidden_dim,
            approximate=approximate,
            dropout=dropout,
            pooler=pooler,
            kernel_initializer=kernel_initializer,
            projection_initializer=projection_initializer,
            seed=seed,
            keep=keep,
            implementation=implementation,
            **kwargs,
        )
        self.num_classes = num_classes

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["num_classes"] = config.pop("num_outputs")
        return config
