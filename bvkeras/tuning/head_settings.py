"""The settings of one head that a search tries."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras_tuner

from bvkeras.tasks.settings import TaskSettings
from bvkeras.tuning.layer_names import parsed_layers
from bvkeras.tuning.spaces import HeadSpace

# What the Hyperband oracle adds to a trial's values.
_LAST_EPOCH = "tuner/epochs"
_FIRST_EPOCH = "tuner/initial_epoch"
_STARTING_TRIAL = "tuner/trial_id"


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """Settings of one trial; `HeadSpace` says what each of them is.

    Attributes:
        layers: tuple of int, or None. Hidden states that are used, counted
            from 0 in the cache; None for all.
        epochs: int. Passes over the training rows, those of the trial it
            starts from included.
        first_epoch: int. Passes that trial has made. Defaults to `0`.
        starting_trial: str or None. The trial whose weights it starts from.
    """

    units: int
    learning_rate: float
    projection_rate: float
    dropout: float
    weight_decay: float
    batch_size: int
    epochs: int
    pooler: str
    token_pooling: str
    layers: tuple[int, ...] | None
    projection_initializer: str
    seed: int
    first_epoch: int = 0
    starting_trial: str | None = None

    @classmethod
    def declared(
        cls, space: HeadSpace, hp: keras_tuner.HyperParameters
    ) -> "HeadSettings":
        """The values that `hp` has for a space.

        Args:
            space: HeadSpace.
            hp: HyperParameters, those of the Hyperband oracle included.

        Raises:
            ArgumentError: `layers` names no layers.
        """
        values = space.declare(hp)
        values["layers"] = parsed_layers(values["layers"])
        if _LAST_EPOCH in hp.values:
            values["epochs"] = hp.values[_LAST_EPOCH]
            values["first_epoch"] = hp.values[_FIRST_EPOCH]
            values["starting_trial"] = hp.values.get(_STARTING_TRIAL)
        return cls(**values)

    @classmethod
    def of_task(cls, own: TaskSettings) -> "HeadSettings":
        """What `bvkeras train` uses where nothing is said.

        Args:
            own: TaskSettings.
        """
        return cls(
            units=own.head_units,
            learning_rate=own.head_learning_rate,
            projection_rate=own.head_projection_rate,
            dropout=own.head_dropout,
            weight_decay=0.01,
            batch_size=own.head_batch_size,
            epochs=own.head_epochs,
            pooler="linear",
            token_pooling=own.head_token_pooling,
            layers=None,
            projection_initializer="zeros",
            seed=0,
        )

    def as_json(self) -> dict[str, Any]:
        """The settings as a JSON value."""
        record = dataclasses.asdict(self)
        record["layers"] = self.layers and list(self.layers)
        return record

    @property
    def group(self) -> tuple[Any, ...]:
        """Equal for trials that can share batches and their product."""
        return (
            self.batch_size,
            self.pooler,
            self.token_pooling,
            self.layers,
            self.first_epoch,
        )

    def start(self) -> Mapping[str, Any]:
        """Arguments of `build_head`."""
        names = (
            "units",
            "dropout",
            "pooler",
            "token_pooling",
            "projection_initializer",
            "seed",
        )
        return {name: getattr(self, name) for name in names}
