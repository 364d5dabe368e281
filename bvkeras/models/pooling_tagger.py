"""The model `PoolingTagger`."""

from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_model import PoolingModel


@keras.saving.register_keras_serializable(package="bvkeras")
class PoolingTagger(PoolingModel):
    """A tiny tagger of tokens, on all hidden states.

    `LinearPooling` maps every hidden state to `units` numbers; one linear map
    from those of all layers of a token, the same for every token, gives the
    classes there:

    `logits[b,t,c] = Σ_{l,a} Y[b,t,l,a] V[l,a,c] + d[c]`

    Input: as of `bvkeras.models.pooling_classifier.PoolingClassifier`, with
    any number of tokens.
    Output: logits `(batch, tokens, num_classes)`, in float32 under mixed
    precision too.

    Masking: what the hidden states hold where the mask is false reaches
    neither outputs nor gradients; the logits there are the bias.

    Args:
        num_classes: int. Number of classes, at least 2.
        units: int. Numbers each hidden state is pooled to.
        num_layers: int. Hidden states of each token: the encoder's layers and
            one more for its embeddings. Defaults to `None`: taken from the
            first input.
        hidden_dim: int. Features of a hidden state. Defaults to `None`: taken
            from the first input. With both given, the model is built at once.
        projection_initializer: Keras initializer of the projection `(layers ·
            units, num_classes)`. Defaults to `"glorot_uniform"`.
        approximate: bool. As the other arguments, that of
            `PoolingClassifier`.

    Raises:
        ArgumentError: An argument is out of its range, or hidden states have
            another number of layers or features than the model.

    Example:
        ```python
        import numpy as np
        from bvkeras.models.pooling_tagger import PoolingTagger
        from bvkeras.models.token_cross_entropy import TokenCrossEntropy

        hidden_states = np.random.normal(size=(8, 5, 7, 384))
        mask = np.ones((8, 5), bool)
        labels = np.tile([-1, 0, 2, 1, -1], (8, 1))
        model = PoolingTagger(num_classes=3, units=16)
        model.compile("adam", TokenCrossEntropy())
        model.fit((hidden_states, mask), labels)
        model.predict((hidden_states, mask)).shape  # (8, 5, 3)
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", Algorithm 1, for its spans; tags of
        words are not in the paper.
    """

    per_token = True

    def __init__(
        self,
        num_classes: int,
        units: int,
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
        if num_classes < 2:
            raise ArgumentError(
                f"num_classes: received {num_classes!r}, expected at least 2"
            )
        super().__init__(
            num_outputs=num_classes,
            units=units,
            sequence_length=None,
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

    def _outputs(self, projected, mask):
        return projected + keras.ops.cast(self.bias, projected.dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["num_classes"] = config.pop("num_outputs")
        del config["sequence_length"]
        return config
