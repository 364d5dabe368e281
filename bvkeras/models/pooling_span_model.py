"""The model `PoolingSpanModel`."""

from typing import Any

import keras

from bvkeras.models.pooling_model import PoolingModel
from bvkeras.ops.span_logits import masked_logits


@keras.saving.register_keras_serializable(package="bvkeras")
class PoolingSpanModel(PoolingModel):
    """A tiny finder of answers in a context, on all hidden states.

    `LinearPooling` maps every hidden state to `units` numbers; one linear map
    from those of all layers of a token, the same for every token, gives the
    logits of an answer's start and end there:

    `logits[b,t,c] = Σ_{l,a} Y[b,t,l,a] V[l,a,c] + d[c]`

    With 13 hidden states of 768 features and 384 units, the paper's, it has
    305,282 parameters.

    Input: as of `bvkeras.models.pooling_classifier.PoolingClassifier`, with
    any number of tokens. The mask is true where an answer can start and end:
    at [CLS], which stands for no answer, and in the context, but neither in
    the question nor at padding. That of a span task's cache is so.
    Output: logits `(batch, tokens, 2)` of start and end, in float32 under
    mixed precision too.

    Masking: where the mask is false the logits are
    `bvkeras.ops.span_logits.MASKED_LOGIT`: softmax gives zero, and what the
    hidden states hold there reaches neither outputs nor gradients. Without a
    mask every token can be an answer.

    Args:
        units: int. Numbers each hidden state is pooled to. The paper takes
            the length of the sequence; any width will do.
        num_layers: int. Hidden states of each token: the encoder's layers and
            one more for its embeddings. Defaults to `None`: taken from the
            first input.
        hidden_dim: int. Features of a hidden state. Defaults to `None`: taken
            from the first input. With both given, the model is built at once.
        projection_initializer: Keras initializer of the projection `(layers ·
            units, 2)`. Defaults to `"glorot_uniform"`.
        approximate: bool. As the other arguments, that of
            `PoolingClassifier`.

    Raises:
        ArgumentError: An argument is out of its range, or hidden states have
            another number of layers or features than the model.

    Example:
        ```python
        import numpy as np
        from bvkeras.models.pooling_span_model import PoolingSpanModel
        from bvkeras.models.span_cross_entropy import SpanCrossEntropy

        hidden_states = np.random.normal(size=(8, 5, 7, 384))
        can_be_answer = np.tile([True, False, True, True, False], (8, 1))
        spans = np.tile([2, 3], (8, 1))
        model = PoolingSpanModel(units=16)
        model.compile("adam", SpanCrossEntropy())
        model.fit((hidden_states, can_be_answer), spans)
        model.predict((hidden_states, can_be_answer)).shape  # (8, 5, 2)
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", Algorithm 1.
    """

    per_token = True

    def __init__(
        self,
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
        super().__init__(
            num_outputs=2,
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

    def _outputs(self, projected, mask):
        logits = projected + keras.ops.cast(self.bias, projected.dtype)
        if mask is None:
            return logits
        return masked_logits(logits, keras.ops.cast(mask, "bool"))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["num_outputs"], config["sequence_length"]
        return config
