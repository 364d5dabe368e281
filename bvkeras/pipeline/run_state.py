"""What the steps of a run share: the class `RunState`."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from bvkeras.cache.reader import HiddenStateCache
from bvkeras.data.example_checks import check_examples
from bvkeras.data.sources import load_examples
from bvkeras.encoders.inference import check_compute_dtype
from bvkeras.encoders.loading import load_backbone
from bvkeras.evaluation.comparison import SystemResult
from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.pipeline.settings import RunSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.finetune import Snapshot
from bvkeras.training.freezing import check_freeze_layers, frozen_part

# The rows kept by `limit` are chosen by a seed of their own, so that runs
# with other seeds train on the same rows.
_LIMIT_SEED = 0


class RunState:
    """One run's inputs, and what its steps have found so far.

    Args:
        task: TaskSpec.
        backbone: str. What `load_backbone` opens.
        output_dir: path. Everything is written below it.
        data_dir: str, path or None. As `load_examples`.
        overrides: dict. Settings that replace the task's own.
        dev_threshold: bool. As `bvkeras.pipeline.run`.
        threshold_metric: str. As `bvkeras.pipeline.run`.
        skip_bad: bool. As `load_examples`. Defaults to `False`.
        notes: sequence of str. As `bvkeras.pipeline.run`.
        command: str. As `bvkeras.pipeline.run`.

    Attributes:
        encoder: Encoder, as it came, without dropout.
        settings: RunSettings.
        examples: dict of split to its examples.
        snapshots: list of Snapshot. What fine-tuning gave.
        caches: dict of stop point, 0 for the encoder as it came, to dict of
            split to HiddenStateCache.
        systems: list of SystemResult. Rows of the comparison.
        histories, files, layer_importance: dicts, as `Comparison` has them.
        evaluations: dict of split to dict of system to its Evaluation.
        compared: list of pairs of names, of heads and their encoders.
        compared_with_regression: list of pairs of names, of heads and the
            regressions on the same caches.

    Raises:
        BvkerasError: an argument, the data or the encoder cannot be used.
    """

    def __init__(
        self,
        task: TaskSpec,
        backbone: str,
        output_dir: pathlib.Path,
        data_dir: str | os.PathLike | None,
        overrides: dict[str, Any],
        *,
        dev_threshold: bool,
        threshold_metric: str,
        skip_bad: bool = False,
        notes: Sequence[str] = (),
        command: str = "",
    ):
        self.task = task
        self.backbone = backbone
        self.output_dir = output_dir
        self.dev_threshold = dev_threshold
        self.threshold_metric = threshold_metric
        self.notes = list(notes)
        self.command = command
        self.encoder = load_backbone(
            backbone,
            dropout=0.0,
            sentence_pooling=overrides.get("sentence_pooling"),
        )
        # Where outputs are of tokens nothing is pooled, whatever is asked for.
        pooling = (
            None if task.traits.per_token else self.encoder.sentence_pooling
        )
        self.settings = RunSettings.for_task(
            task,
            self.encoder.hidden_dim,
            **{**overrides, "sentence_pooling": pooling},
        )
        check_compute_dtype(
            self.settings.extraction_dtype, self.encoder.backbone
        )
        config = self.settings.finetune
        check_freeze_layers(self.encoder.backbone, config.freeze_layers)
        self.encoder.check_max_tokens(config.max_tokens)
        # Of a class that the kind of the task decides.
        self.examples: dict[str, Any] = {
            split: load_examples(task, split, data_dir, skip_bad=skip_bad)
            for split in task.splits
        }
        for examples in self.examples.values():
            check_examples(task, examples)
        self.examples["train"] = self.examples["train"].limit(
            self.settings.limit, seed=_LIMIT_SEED
        )
        self.snapshots: list[Snapshot] = []
        self.caches: dict[float, dict[str, HiddenStateCache]] = {}
        self.systems: list[SystemResult] = []
        self.histories: dict[str, list[dict[str, float]]] = {}
        self.layer_importance: dict[str, list[float]] = {}
        self.files: dict[str, str] = {}
        self.evaluations: dict[str, dict[str, Any]] = {}
        self.compared: list[tuple[str, str]] = []
        self.compared_with_regression: list[tuple[str, str]] = []

    @property
    def frozen_note(self) -> str:
        """What names of rows with a fine-tuned encoder say of freezing."""
        part = frozen_part(**self.settings.finetune.freezing)
        return part and f", {part} frozen"

    @property
    def encoder_parameters(self) -> int:
        """Parameters of the encoder alone."""
        return self.encoder.backbone.count_params()

    def suffix(self, epochs: float) -> str:
        """What the names of rows say of a stop point, if there are several."""
        several = len(self.settings.finetune.epochs) > 1
        return f", epoch {epochs:g}" if several else ""

    def place(self, epochs: float) -> str:
        """Folder name of what rests on a stop point; 0 is the encoder."""
        return f"epoch_{epochs:g}" if epochs else "frozen"

    def system(self, kind: str, epochs: float) -> SystemResult:
        """The row of a kind at a stop point, which an earlier step added."""
        return next(
            system
            for system in self.systems
            if (system.kind, system.epochs) == (kind, epochs)
        )

    def add_file(self, name: str, path: pathlib.Path) -> None:
        """Names a file of the run for its report."""
        self.files[name] = path.relative_to(self.output_dir).as_posix()

    def scores(
        self,
        name: str,
        directory: pathlib.Path,
        evaluate: Callable[..., Evaluation],
    ) -> tuple[dict[str, dict[str, float]], float]:
        """Scores a system on every evaluation split.

        Args:
            name: str. The system's.
            directory: path. Where the files go.
            evaluate: callable. Given a split, the directory, and of a span
                task a threshold.

        Returns:
            Pair of dict of split to its metrics, and seconds.
        """
        scores, seconds = {}, 0.0
        options = self._threshold(directory, evaluate)
        for split in self.task.evaluation_splits:
            result = evaluate(split, directory, *options)
            self.add_file(f"{name}, {split}", result.predictions_path)
            scores[split] = result.metrics
            seconds += result.seconds
            self.evaluations.setdefault(split, {})[name] = result
        return scores, seconds

    def _threshold(
        self, directory: pathlib.Path, evaluate: Callable[..., Evaluation]
    ) -> tuple[float | str, ...]:
        """The threshold a span task's system is scored with; no other's."""
        if not self.task.traits.has_threshold:
            return ()
        if self.dev_threshold:
            return (self.threshold_metric,)
        held_out: Any = evaluate(
            self.task.threshold_split, directory, self.threshold_metric
        )
        return (held_out.threshold,)
