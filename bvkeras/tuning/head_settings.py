"""The settings of one head that a search tries."""

import dataclasses
from typing import Any

import keras_tuner

from bvkeras.tasks.head_config import HeadConfig
from bvkeras.tuning.layer_names import parsed_layers
from bvkeras.tuning.spaces import HeadSpace

# What the Hyperband oracle adds to a trial's values.
_LAST_EPOCH = "tuner/epochs"
_FIRST_EPOCH = "tuner/initial_epoch"
_STARTING_TRIAL = "tuner/trial_id"


@dataclasses.dataclass(frozen=True)
class HeadSettings(HeadConfig):
    """Settings of one trial: a `HeadConfig`, and what only a search has.

    `epochs` are those of the trial it starts from included.

    Args:
        layers: tuple of int, or None. Hidden states that are used, counted
            from 0 in the cache. Defaults to `None`: all.
        first_epoch: int. Passes that trial has made. Defaults to `0`.
        starting_trial: str or None. The trial whose weights it starts from.
            Defaults to `None`: none.
    """

    layers: tuple[int, ...] | None = None
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
    def of(cls, config: HeadConfig) -> "HeadSettings":
        """Those of a config, on all layers, from the start."""
        return cls(**dataclasses.asdict(config))

    @property
    def config(self) -> HeadConfig:
        """What `train_head` takes of them."""
        names = [field.name for field in dataclasses.fields(HeadConfig)]
        return HeadConfig(**{name: getattr(self, name) for name in names})

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
