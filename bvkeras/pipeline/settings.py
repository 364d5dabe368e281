"""Every number of a run: the class `RunSettings`."""

import dataclasses
import math
from typing import Any

from bvkeras.cache.format import DTYPES
from bvkeras.encoders.fast_encoder import COMPUTE_DTYPES
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_model import POOLERS
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import check_token_pooling


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Every number of a run.

    Attributes:
        epochs: tuple of float. Stop points of fine-tuning, in epochs.
        learning_rate: float. Highest rate of the encoder.
        batch_size: int. Examples a step, encoder.
        max_tokens: int. Longer examples are cut.
        dropout: float. Dropout of the encoder, and in front of its head, in
            fine-tuning.
        units: int. Width of the linear pooling.
        head_epochs: int. Epochs of a head.
        head_learning_rate: float. Highest rate of a head.
        head_projection_rate: float. Its projection's share of that rate.
        head_batch_size: int. Examples a step, head.
        head_dropout: float. Dropout on the pooled features.
        pooler: str. `"linear"` or `"scalar_mix"`.
        token_pooling: str. `"flatten"` or `"mean"`.
        cache_dtype: str. How hidden states are stored.
        extraction_dtype: str. What the encoder computes them in.
        compute_dtype: str. Keras dtype policy of fine-tuning, as
            `"mixed_bfloat16"`.
        seed: int. Seed of everything random.
        limit: int or None. Most training rows, chosen at random.
        freeze_layers: int. So many of the encoder's lowest transformer layers
            are not trained.
        freeze_embeddings: bool. Whether its embeddings are not trained.
        sentence_pooling: str or None. `"cls"` or `"mean"`: what stands for a
            whole text in fine-tuning. None is the checkpoint's own. Not used
            for spans.
    """

    epochs: tuple[float, ...]
    learning_rate: float
    batch_size: int
    max_tokens: int
    dropout: float
    units: int
    head_epochs: int
    head_learning_rate: float
    head_projection_rate: float
    head_batch_size: int
    head_dropout: float
    token_pooling: str
    pooler: str = "linear"
    cache_dtype: str = "bfloat16"
    extraction_dtype: str = "float32"
    compute_dtype: str = "float32"
    seed: int = 0
    limit: int | None = None
    freeze_layers: int = 0
    freeze_embeddings: bool = False
    sentence_pooling: str | None = None

    @classmethod
    def for_task(
        cls, task: TaskSpec, hidden_dim: int, **overrides: Any
    ) -> "RunSettings":
        """A task's settings for an encoder, with some of them replaced.

        Args:
            task: TaskSpec.
            hidden_dim: int. Features of the encoder.
            **overrides: settings; None keeps the task's own.

        Raises:
            ArgumentError: there is no such setting, or a value is out of
                range.
        """
        own = task.settings_for(hidden_dim)
        values = {
            "epochs": (own.epochs,),
            "learning_rate": own.learning_rate,
            "batch_size": own.batch_size,
            "max_tokens": own.max_tokens,
            "dropout": own.dropout,
            "units": own.head_units,
            "head_epochs": own.head_epochs,
            "head_learning_rate": own.head_learning_rate,
            "head_projection_rate": own.head_projection_rate,
            "head_batch_size": own.head_batch_size,
            "head_dropout": own.head_dropout,
            "token_pooling": own.head_token_pooling,
        }
        names = [field.name for field in dataclasses.fields(cls)]
        for name, value in overrides.items():
            if name not in names:
                raise ArgumentError(
                    f"{name}: no such setting, expected one of "
                    f"{', '.join(names)}"
                )
            if value is not None:
                values[name] = value
        settings = cls(**values)
        settings._check()
        check_token_pooling(task, settings.token_pooling)
        return settings

    def _check(self) -> None:
        at_least_one = (
            "batch_size",
            "units",
            "head_epochs",
            "head_batch_size",
        )
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ArgumentError(
                    f"{name}: expected at least 1, got {getattr(self, name)}"
                )
        if self.limit is not None and self.limit < 1:
            raise ArgumentError(f"limit: expected at least 1, got {self.limit}")
        for name in (
            "learning_rate",
            "head_learning_rate",
            "head_projection_rate",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ArgumentError(
                    f"{name}: expected a number above 0, got "
                    f"{getattr(self, name)}"
                )
        if not self.epochs or not all(0 < e < math.inf for e in self.epochs):
            raise ArgumentError(
                f"epochs: expected numbers above 0, got {list(self.epochs)}"
            )
        for name in ("dropout", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ArgumentError(
                    f"{name}: expected a number in [0, 1), got "
                    f"{getattr(self, name)}"
                )
        for name, expected in (
            ("pooler", POOLERS),
            ("cache_dtype", tuple(DTYPES)),
            ("extraction_dtype", COMPUTE_DTYPES),
        ):
            if getattr(self, name) not in expected:
                raise ArgumentError(
                    f"{name}: expected one of {', '.join(expected)}, got "
                    f"{getattr(self, name)!r}"
                )
        if not 0 <= self.seed < 1 << 32:
            raise ArgumentError(
                f"seed: expected a number from 0 to 2**32 - 1, got {self.seed}"
            )
        if self.freeze_layers < 0:
            raise ArgumentError(
                f"freeze_layers: expected at least 0, got {self.freeze_layers}"
            )
        if self.sentence_pooling is not None:
            check_sentence_pooling(self.sentence_pooling)

    @property
    def freezing(self) -> dict[str, Any]:
        """The two settings of freezing, as keywords."""
        return {
            "freeze_layers": self.freeze_layers,
            "freeze_embeddings": self.freeze_embeddings,
        }

    def as_record(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return dataclasses.asdict(self) | {"epochs": list(self.epochs)}
