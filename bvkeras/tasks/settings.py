"""The numbers a task is trained with, for the encoder and for the head."""

import dataclasses
from typing import Any

from bvkeras.errors import ArgumentError
from bvkeras.tasks.finetune_config import FinetuneConfig
from bvkeras.tasks.head_config import HEAD_CHECKS, HeadConfig
from bvkeras.tasks.kind import MEAN, WEIGHTED

# Settings of a head that fine-tuning has not keep their names.
_UNLIKE = ("units", "pooler", "token_pooling")
# Names of all settings, side by side: to those of a config.
FINETUNE_NAMES = tuple(
    field.name for field in dataclasses.fields(FinetuneConfig)
)
HEAD_NAMES = {
    field.name if field.name in _UNLIKE else f"head_{field.name}": field.name
    for field in dataclasses.fields(HeadConfig)
    if field.name != "seed"
}

# A head of weighted means, which starts at what a regression found: its
# queries have to learn, and the rest hardly moves. docs/reproduce.md says how
# the numbers were chosen.
WEIGHTED_HEAD = {
    "pooler": WEIGHTED,
    "token_pooling": MEAN,
    "head_learning_rate": 3e-3,
    "head_projection_rate": 0.001,
    "head_batch_size": 32,
    "head_epochs": 3,
}


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """Hyperparameters of one task: fine-tuning, then the pooled head.

    Side by side, as options, their names are those of `FinetuneConfig`, and
    those of `HeadConfig` with `head_` in front: `learning_rate`,
    `head_learning_rate`. Three that only a head has stay as they are: `units`,
    `pooler` and `token_pooling`. Both have one `seed`.

    Args:
        finetune: FinetuneConfig.
        head: HeadConfig.
    """

    finetune: FinetuneConfig
    head: HeadConfig

    def replaced(self, **settings: Any) -> "TaskSettings":
        """The same with some settings replaced.

        A head that becomes one of weighted means gets what such a head is
        trained with (`WEIGHTED_HEAD`), but for what is given besides.

        Args:
            **settings: by their names side by side.

        Raises:
            ArgumentError: there is no such setting, or a value is out of its
                range.
        """
        tuned, head = {}, {}
        if settings.get("pooler") == WEIGHTED != self.head.pooler:
            settings = {**WEIGHTED_HEAD, **settings}
        for name, value in settings.items():
            if name in HEAD_NAMES:
                HEAD_CHECKS[HEAD_NAMES[name]].require(name, value)
                head[HEAD_NAMES[name]] = value
            elif name in FINETUNE_NAMES:
                tuned[name] = value
            else:
                raise ArgumentError(
                    f"{name}: no such setting, expected one of "
                    f"{', '.join([*FINETUNE_NAMES, *HEAD_NAMES])}"
                )
        if "seed" in settings:
            head["seed"] = settings["seed"]
        finetune = dataclasses.replace(self.finetune, **tuned)
        return TaskSettings(finetune, dataclasses.replace(self.head, **head))

    def as_options(self) -> dict[str, Any]:
        """All settings as JSON values, by their names side by side."""
        return {
            **dataclasses.asdict(self.finetune),
            "epochs": list(self.finetune.epochs),
            **{
                name: getattr(self.head, field)
                for name, field in HEAD_NAMES.items()
            },
        }


def paper_settings(
    learning_rate: float,
    batch_size: int,
    head_learning_rate: float,
    units: int | None = None,
    max_tokens: int = 128,
) -> TaskSettings:
    """Settings of the authors' published code: one epoch for both models.

    Args:
        learning_rate: float. Peak rate of the encoder.
        batch_size: int. For the encoder and for the head.
        head_learning_rate: float. Peak rate of the head.
        units: int or None. None leaves the units at the number of tokens,
            as the authors do where they did not tune them.
        max_tokens: int. Longest input, special tokens included.
    """
    return TaskSettings(
        FinetuneConfig(learning_rate, batch_size, max_tokens),
        HeadConfig(
            units=max_tokens if units is None else units,
            learning_rate=head_learning_rate,
            epochs=1,
            batch_size=batch_size,
        ),
    )


def small_settings(
    batch_size: int = 32,
    learning_rate: float = 1e-4,
    max_tokens: int = 128,
    epochs: float = 1.0,
) -> TaskSettings:
    """Settings for an encoder with fewer than 768 features.

    A small encoder needs a larger rate than BERT-base and no dropout to leave
    the majority class in one epoch, and its head needs fewer units, more passes
    and the mean over tokens. These are this package's own, not the paper's;
    docs/reproduce.md says how they were chosen.

    Args:
        batch_size: int. Examples per step of fine-tuning.
        learning_rate: float. Peak rate of the encoder.
        max_tokens: int. Longest input, special tokens included.
        epochs: float. Passes over the training split.
    """
    return TaskSettings(
        FinetuneConfig(
            learning_rate, batch_size, max_tokens, (epochs,), dropout=0.0
        ),
        HeadConfig(token_pooling="mean", epochs=6),
    )
