"""The model `PoolingRegressor`."""

from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_model import PoolingModel


@keras.saving.register_keras_serializable(package="bvkeras")
class PoolingRegressor(PoolingModel):
    """A tiny regressor of sequences on all hidden states of an encoder.

    `bvkeras.models.pooling_classifier.PoolingClassifier` with numbers in the
    place of classes; inputs, masking and the arguments not named here are the
    same.

    Output: `(batch, num_outputs)`, in float32 under mixed precision too.

    Args:
        units: int. Numbers each hidden state is pooled to.
        sequence_length: int or None. Most tokens of a sequence. Defaults to
            `None`: the tokens share their weights, and the mean is taken.
        num_outputs: int. Numbers to predict, at least 1. Defaults to `1`.

    Raises:
        ArgumentError: As `PoolingClassifier`.

    Example:
        ```python
        import numpy as np
        from bvkeras.models.pooling_regressor import PoolingRegressor

        hidden_states = np.random.normal(size=(8, 5, 7, 384))
        scores = np.linspace(0, 5, 8)
        model = PoolingRegressor(units=16, sequence_length=5)
        model.compile("adam", "mean_squared_error")
        model.fit(hidden_states, scores)
        model.predict(hidden_states).shape  # (8, 1)
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", Algorithm 1; STS-B.
    """

    def __init__(
        self,
        units: int,
        sequence_length: int | None = None,
        num_outputs: int = 1,
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
        if num_outputs < 1:
            raise ArgumentError(
                f"num_outputs: received {num_outputs!r}, expected at least 1"
            )
        super().__init__(
            num_outputs=num_outputs,
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
