"""What a search may choose from: one value, some values, or a range each."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras_tuner

from bvkeras.errors import ArgumentError
from bvkeras.tasks.finetune_config import FINETUNE_CHECKS
from bvkeras.tasks.head_config import HEAD_CHECKS, HeadConfig
from bvkeras.tasks.kind import MEAN, WEIGHTED
from bvkeras.tasks.setting_checks import ABOVE_ZERO, SettingCheck
from bvkeras.tuning.layer_names import ALL_LAYERS, parsed_layers

_POWERS_OF_TWO = (8, 16, 32, 64, 128, 256)
_MAX_SEED = 9999


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few values.

    Attributes:
        values: tuple of numbers, or of str.
    """

    values: tuple[Any, ...]

    def __post_init__(self):
        if not self.values:
            raise ArgumentError("values: expected at least one, got none")
        if {type(value) for value in self.values} == {int, float}:
            # KerasTuner takes values of one type only.
            values = tuple(float(value) for value in self.values)
            object.__setattr__(self, "values", values)


@dataclasses.dataclass(frozen=True)
class Range:
    """A number between two others.

    Attributes:
        low: int or float. The lowest value.
        high: int or float. The highest one; with two ints, ints are chosen.
        log: bool. Whether its logarithm is uniform, instead of itself.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        if not self.low < self.high < math.inf or (self.log and self.low <= 0):
            raise ArgumentError(
                f"low, high: expected finite numbers in that order, above 0 "
                f"for a logarithm, got {self.low} and {self.high}"
            )


@dataclasses.dataclass(frozen=True)
class _Space:
    """What the two kinds of spaces have in common."""

    def __post_init__(self):
        for name, check in self._checks().items():
            setting = getattr(self, name)
            for value in values_of(setting):
                check.require(name, value)

    @property
    def size(self) -> float:
        """How many settings there are to choose from; infinity of numbers
        that are not whole."""
        return math.prod(
            _count(getattr(self, field.name))
            for field in dataclasses.fields(self)
        )

    def declare(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Asks for a value of every setting.

        Args:
            hp: HyperParameters. What is not known to it yet is added.

        Returns:
            dict of setting to value.
        """
        return {
            field.name: _declared(hp, field.name, getattr(self, field.name))
            for field in dataclasses.fields(self)
        }

    def replaced(self, settings: Mapping[str, Any]):
        """The space with some settings replaced; None leaves one as it is.

        Raises:
            ArgumentError: there is no such setting, or a value cannot be
                its.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in settings:
            if name not in names:
                raise ArgumentError(
                    f"{name}: no such setting, expected one of "
                    f"{', '.join(names)}"
                )
        given = {k: v for k, v in settings.items() if v is not None}
        return dataclasses.replace(self, **given)

    def as_json(self) -> dict[str, Any]:
        """The space as a JSON value."""
        return {
            field.name: _as_json(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]):
        """The space that `as_json` gave."""
        return cls(**{k: _from_json(v) for k, v in record.items()})


@dataclasses.dataclass(frozen=True)
class HeadSpace(_Space):
    """Settings of a pooled head; each a value, a `Choice` or a `Range`.

    Raises:
        ArgumentError: a value cannot be that of its setting.

    Attributes:
        layers: str. Hidden states that are used, as `"0+3+6"`, or `"all"`.
        units, learning_rate, ...: as of `bvkeras.tasks.HeadConfig`, which says
            what each is.
    """

    units: Any = Choice(_POWERS_OF_TWO)
    learning_rate: Any = Range(1e-6, 1e-2, log=True)
    projection_rate: Any = Range(0.01, 1.0, log=True)
    dropout: Any = Choice((0.0, 0.1, 0.3, 0.5))
    weight_decay: Any = Choice((0.0, 0.01, 0.1))
    batch_size: Any = 16
    epochs: Any = 3
    pooler: Any = "linear"
    token_pooling: Any = "flatten"
    layers: Any = "all"
    projection_initializer: Any = "zeros"
    seed: Any = Range(0, _MAX_SEED)

    @staticmethod
    def _checks() -> dict[str, SettingCheck]:
        return {**HEAD_CHECKS, "layers": _LAYERS}


@dataclasses.dataclass(frozen=True)
class EncoderSpace(_Space):
    """Settings of fine-tuning; each a value, a `Choice` or a `Range`.

    Raises:
        ArgumentError: a value cannot be that of its setting.

    Attributes:
        epochs: float. Passes over the training rows, fractions allowed.
        learning_rate, ...: as of `bvkeras.tasks.FinetuneConfig`, which says
            what each is.
    """

    learning_rate: Any = Range(1e-6, 3e-4, log=True)
    batch_size: Any = Choice((16, 32))
    warmup_fraction: Any = Choice((0.06, 0.1, 0.2))
    epochs: Any = 1.0
    seed: Any = Range(0, _MAX_SEED)

    @staticmethod
    def _checks() -> dict[str, SettingCheck]:
        names = ("learning_rate", "batch_size", "warmup_fraction", "seed")
        checks = {name: FINETUNE_CHECKS[name] for name in names}
        return {**checks, "epochs": ABOVE_ZERO}


def paper_head(batch_size: int = 16, epochs: int = 1) -> HeadSpace:
    """The authors' space of heads: units, rate and seed, the rest as theirs.

    Units in powers of two from 8 to 256, the rate uniform from 1e-6 to 1e-3.

    Args:
        batch_size: int. Theirs is that of the encoder. Defaults to `16`.
        epochs: int. Defaults to `1`, as theirs.

    Reference:
        Jiang et al. 2022, as its authors published their code with it.
    """
    return HeadSpace(
        learning_rate=Range(1e-6, 1e-3),
        projection_rate=1.0,
        dropout=0.0,
        weight_decay=0.01,
        batch_size=batch_size,
        epochs=epochs,
        projection_initializer="glorot_uniform",
    )


def weighted_head(batch_size: int = 32, epochs: int = 3) -> HeadSpace:
    """Settings of a head of weighted means, which has no width to choose.

    Args:
        batch_size: int. Examples a step.
        epochs: int. Passes over the hidden states.
    """
    return HeadSpace(
        units=HeadConfig.units,
        learning_rate=Range(3e-4, 1e-2, log=True),
        projection_rate=Range(1e-3, 0.3, log=True),
        pooler=WEIGHTED,
        token_pooling=MEAN,
        batch_size=batch_size,
        epochs=epochs,
    )


def paper_encoder(batch_size: int = 32) -> EncoderSpace:
    """The authors' space of encoders: rate up to 3e-5, and seed; one epoch.

    Args:
        batch_size: int. Theirs depends on the task. Defaults to `32`.

    Reference:
        Jiang et al. 2022, as its authors published their code with it.
    """
    # Theirs begins at zero, a rate that trains nothing.
    return EncoderSpace(
        learning_rate=Range(1e-7, 3e-5),
        batch_size=batch_size,
        warmup_fraction=0.1,
        epochs=1.0,
    )


def values_of(setting: Any) -> tuple[Any, ...]:
    """The values of a setting: one, some, or the ends of a range."""
    if isinstance(setting, Choice):
        return setting.values
    if isinstance(setting, Range):
        return (setting.low, setting.high)
    return (setting,)


def _count(setting):
    if isinstance(setting, Choice):
        return len(set(setting.values))
    if isinstance(setting, Range):
        return (
            setting.high - setting.low + 1 if _is_whole(setting) else math.inf
        )
    return 1


def _is_whole(setting):
    return isinstance(setting.low, int) and isinstance(setting.high, int)


def _names_layers(value):
    try:
        parsed_layers(value)
    except ArgumentError:
        return False
    return True


_LAYERS = SettingCheck(f"numbers such as 0+3+6, or {ALL_LAYERS}", _names_layers)


def _declared(hp, name, setting):
    if isinstance(setting, Choice):
        return hp.Choice(name, list(setting.values))
    if isinstance(setting, Range):
        kind = hp.Int if _is_whole(setting) else hp.Float
        sampling = "log" if setting.log else "linear"
        return kind(name, setting.low, setting.high, sampling=sampling)
    return hp.Fixed(name, setting)


def _as_json(setting):
    if isinstance(setting, Choice):
        return {"choice": list(setting.values)}
    if isinstance(setting, Range):
        return {"range": [setting.low, setting.high, setting.log]}
    return setting


def _from_json(value):
    if isinstance(value, dict) and "choice" in value:
        return Choice(tuple(value["choice"]))
    if isinstance(value, dict) and "range" in value:
        return Range(*value["range"])
    return value
