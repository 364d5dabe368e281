"""Every number of a run: the class `RunSettings`."""

import dataclasses
from typing import Any

from bvkeras.cache.format import DTYPES
from bvkeras.encoders.fast_encoder import INFERENCE_DTYPES
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.tasks.finetune_config import FinetuneConfig
from bvkeras.tasks.head_config import HeadConfig
from bvkeras.tasks.setting_checks import check_fields, one_of, whole_number
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import check_pooler, check_token_pooling

_CHECKS = {
    "cache_dtype": one_of(*DTYPES),
    "extraction_dtype": one_of(*INFERENCE_DTYPES),
}


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Every number of a run.

    Attributes:
        finetune: FinetuneConfig. Fine-tuning; its `dropout` is the encoder's,
            too, and its `max_tokens` that of the caches.
        head: HeadConfig. Every pooled head.
        cache_dtype: str. How hidden states are stored.
        extraction_dtype: str. What the encoder computes them in.
        compute_dtype: str. Keras dtype policy of fine-tuning, as
            `"mixed_bfloat16"`.
        limit: int or None. Most training rows, chosen at random.
        sentence_pooling: str or None. `"cls"`, `"first"` or `"mean"`: what
            stands for a whole text in fine-tuning. None is the checkpoint's
            own. Not used for spans.

    Raises:
        ArgumentError: a value is out of its range.
    """

    finetune: FinetuneConfig
    head: HeadConfig
    cache_dtype: str = "bfloat16"
    extraction_dtype: str = "float32"
    compute_dtype: str = "float32"
    limit: int | None = None
    sentence_pooling: str | None = None

    def __post_init__(self):
        check_fields(self, _CHECKS)
        if self.limit is not None:
            whole_number(1).require("limit", self.limit)
        if self.sentence_pooling is not None:
            check_sentence_pooling(self.sentence_pooling)

    @classmethod
    def for_task(
        cls, task: TaskSpec, hidden_dim: int, **overrides: Any
    ) -> "RunSettings":
        """A task's settings for an encoder, with some of them replaced.

        Args:
            task: TaskSpec.
            hidden_dim: int. Features of the encoder.
            **overrides: settings, by the names that `as_record` gives them;
                None keeps the task's own.

        Raises:
            ArgumentError: there is no such setting, or a value is out of
                range.
        """
        given = {k: v for k, v in overrides.items() if v is not None}
        own = {name: given.pop(name) for name in _OWN_NAMES if name in given}
        settings = task.settings_for(hidden_dim).replaced(**given)
        check_token_pooling(task, settings.head.token_pooling)
        check_pooler(task, settings.head.pooler)
        return cls(settings.finetune, settings.head, **own)

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.finetune.seed

    def as_record(self) -> dict[str, Any]:
        """All settings as JSON values, by their names side by side."""
        return {
            **TaskSettings(self.finetune, self.head).as_options(),
            **{name: getattr(self, name) for name in _OWN_NAMES},
        }


_OWN_NAMES = tuple(
    field.name
    for field in dataclasses.fields(RunSettings)
    if field.name not in ("finetune", "head")
)
