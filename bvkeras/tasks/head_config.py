"""The settings a pooled head is trained with: the class `HeadConfig`."""

import dataclasses

from bvkeras.tasks.kind import POOLERS, TOKEN_POOLINGS
from bvkeras.tasks.setting_checks import (
    ABOVE_ZERO,
    AT_LEAST_ZERO,
    DROPOUT,
    SEED,
    check_fields,
    one_of,
    whole_number,
)

PROJECTION_STARTS = ("zeros", "glorot_uniform")

HEAD_CHECKS = {
    "units": whole_number(1),
    "learning_rate": ABOVE_ZERO,
    "epochs": whole_number(1),
    "batch_size": whole_number(1),
    "dropout": DROPOUT,
    "pooler": one_of(*POOLERS),
    "token_pooling": one_of(*TOKEN_POOLINGS),
    "projection_rate": ABOVE_ZERO,
    "weight_decay": AT_LEAST_ZERO,
    "projection_initializer": one_of(*PROJECTION_STARTS),
    "seed": SEED,
}


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """All settings of one pooled head and its training.

    Args:
        units: int. Width of the linear pooling; not used with `"weighted"`.
            Defaults to `16`.
        learning_rate: float. Highest rate; 10% warm-up, linear decay.
            Defaults to `1e-3`.
        epochs: int. Passes over the hidden states. Defaults to `3`.
        batch_size: int. Examples a step. Defaults to `16`.
        dropout: float in [0, 1). Dropout on the pooled features. Defaults to
            `0.0`.
        pooler: str. `"linear"`, `"scalar_mix"`, or `"weighted"`: a
            `bvkeras.models.WeightedProbe`, which starts at the regression on
            the mean hidden states and learns which tokens matter; the only
            one of pairs apart, and none where outputs are of tokens. Defaults
            to `"linear"`.
        token_pooling: str. `"flatten"`, the paper's: a projection with weights
            for each position. `"mean"`: one for all tokens, and the mean over
            them. Of spans, whose outputs are of tokens, neither, nor with
            `"weighted"`. Defaults to `"flatten"`.
        projection_rate: float. The projection's share of the learning rate.
            Adam moves each of its weights by the rate, and a flattened output
            is a sum over thousands of them: at the pooling's rate it moves
            too far in a step. Defaults to `1.0`.
        weight_decay: float. AdamW's. Defaults to `0.01`.
        projection_initializer: str. `"zeros"` or `"glorot_uniform"`; not used
            with `"weighted"`. Defaults to `"zeros"`.
        seed: int. Seed of the start, of dropout and of the order. Defaults to
            `0`.

    Raises:
        ArgumentError: a setting is out of its range.
    """

    units: int = 16
    learning_rate: float = 1e-3
    epochs: int = 3
    batch_size: int = 16
    dropout: float = 0.0
    pooler: str = "linear"
    token_pooling: str = "flatten"
    projection_rate: float = 1.0
    weight_decay: float = 0.01
    projection_initializer: str = "zeros"
    seed: int = 0

    def __post_init__(self):
        check_fields(self, HEAD_CHECKS)
