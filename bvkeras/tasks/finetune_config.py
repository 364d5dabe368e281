"""The settings an encoder is fine-tuned with: the class `FinetuneConfig`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from bvkeras.tasks.setting_checks import (
    ABOVE_ZERO,
    DROPOUT,
    SEED,
    SHARE,
    SettingCheck,
    check_fields,
    whole_number,
)


def _are_stop_points(value: Any) -> bool:
    if not isinstance(value, Sequence):
        return ABOVE_ZERO.accepts(value)
    return len(value) > 0 and all(map(ABOVE_ZERO.accepts, value))


FINETUNE_CHECKS = {
    "learning_rate": ABOVE_ZERO,
    "batch_size": whole_number(1),
    "max_tokens": whole_number(1),
    "epochs": SettingCheck("numbers above 0", _are_stop_points),
    "dropout": DROPOUT,
    "warmup_fraction": SHARE,
    "seed": SEED,
    "freeze_layers": whole_number(0),
}


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """All settings of one fine-tuning.

    Args:
        learning_rate: float. The highest rate.
        batch_size: int. Examples a step. Defaults to `32`.
        max_tokens: int. Longer examples are cut. Defaults to `128`.
        epochs: tuple of float. Stop points in epochs, fractions allowed; any
            sequence, or one number. Defaults to `(1.0,)`.
        dropout: float in [0, 1). Dropout in front of the head; where an
            encoder is loaded for it, also the encoder's. Defaults to `0.1`,
            BERT's own.
        warmup_fraction: float. Part of the steps that warms up. Defaults to
            `0.1`.
        seed: int. Seed of the head's start, the order of batches and dropout.
            Defaults to `0`.
        freeze_layers: int. So many of the lowest transformer layers are not
            trained; see `bvkeras.training.freezing.freeze`. Defaults to `0`.
        freeze_embeddings: bool. Whether the embeddings are not trained.
            Defaults to `False`.

    Raises:
        ArgumentError: a setting is out of its range.
    """

    learning_rate: float
    batch_size: int = 32
    max_tokens: int = 128
    epochs: tuple[float, ...] = (1.0,)
    dropout: float = 0.1
    warmup_fraction: float = 0.1
    seed: int = 0
    freeze_layers: int = 0
    freeze_embeddings: bool = False

    def __post_init__(self):
        check_fields(self, FINETUNE_CHECKS)
        stops = self.epochs
        if not isinstance(stops, Sequence):
            stops = (stops,)
        stops = tuple(sorted({float(stop) for stop in stops}))
        object.__setattr__(self, "epochs", stops)

    @property
    def freezing(self) -> dict[str, Any]:
        """The two settings of freezing, as keywords."""
        return {
            "freeze_layers": self.freeze_layers,
            "freeze_embeddings": self.freeze_embeddings,
        }
