"""The paper's steps in order: fine-tune, extract, train heads, compare."""

import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import bvkeras
from bvkeras import fileio, tasks
from bvkeras.cache.writer import write_cache
from bvkeras.data.examples import Examples
from bvkeras.data.sources import load_examples
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.comparison import (
    CONTROL,
    ENCODER,
    FROZEN_HEAD,
    HEAD,
    Comparison,
    SystemResult,
)
from bvkeras.evaluation.compression import compression
from bvkeras.evaluation.ensemble import RULES, evaluate_ensemble
from bvkeras.evaluation.evaluate import (
    Evaluation,
    evaluate_head,
    evaluate_snapshot,
)
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.layer_importance import layer_importance
from bvkeras.evaluation.spans.baselines import always_empty
from bvkeras.evaluation.spans.ensemble import evaluate_span_ensemble
from bvkeras.evaluation.spans.evaluation import SpanEvaluation
from bvkeras.evaluation.spans.tables import (
    source_notes,
    span_tables,
    threshold_note,
    window_note,
)
from bvkeras.pipeline.pairs import PairReports
from bvkeras.pipeline.settings import RunSettings
from bvkeras.reports.report import write_report
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.earlier import EARLIER
from bvkeras.training.finetune import Snapshot, finetune
from bvkeras.training.freezing import (
    NOT_FROZEN,
    check_freeze_layers,
    frozen_part,
)
from bvkeras.training.head import train_head

# The rows kept by `limit` are chosen by a seed of their own, so that runs
# with other seeds train on the same rows.
_LIMIT_SEED = 0


def run(
    task: str | TaskSpec,
    backbone: str,
    output_dir: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    frozen: bool = True,
    control: bool = False,
    skip_bad: bool = False,
    dev_threshold: bool = False,
    threshold_metric: str | None = None,
    **overrides: Any,
) -> Comparison:
    """Runs the paper's steps on one task and compares what they give.

    For each stop point of fine-tuning: the fine-tuned encoder, scored; all
    its hidden states, cached; a pooled head trained on them, scored. Then the
    same head on the encoder as it came, and, if asked for, the encoder after
    one more epoch. Each step finds its finished work in `output_dir` and goes
    on from there.

    Of a span task each system first answers the questions held out from the
    training file, and the threshold of no answer is chosen on those.

    Args:
        task: str or TaskSpec. The contexts of a span task are cut by the
            spec's plan of windows.
        backbone: str. What `load_backbone` opens.
        output_dir: str or path. Everything is written below it.
        data_dir: str or path. Official files or a prepared TFDS directory.
            Defaults to the task's own source.
        frozen: bool. Whether to train a head on the encoder as it came.
            Defaults to `True`.
        control: bool. Whether to train the encoder one epoch further, with a
            new warm-up and decay, as a control. Defaults to `False`.
        skip_bad: bool. Whether malformed questions of a span task are left
            out and counted. Defaults to `False`: they are errors.
        dev_threshold: bool. Whether a span task's threshold is chosen on the
            split that is scored, as the official script's best scores are.
            Defaults to `False`. Of a span task alone, as is `skip_bad`.
        threshold_metric: str, or None. The metric that a span task's threshold
            is chosen for, `"exact"` or `"f1"`. Defaults to the task's first.
        **overrides: settings that replace the task's own; see `RunSettings`.

    Returns:
        Comparison; also in `report.json`, `report.md`, `report.html` and
        `plots/`.

    Raises:
        BvkerasError: an argument, the data or the encoder cannot be used, or
            `output_dir` holds a run with other settings.
    """
    task = task if isinstance(task, TaskSpec) else tasks.get(task)
    for name, given in (
        ("dev_threshold", dev_threshold),
        ("threshold_metric", threshold_metric),
    ):
        if given and not task.is_span:
            raise ArgumentError(
                f"{name}: expected a task of questions, got {task.name}"
            )
    threshold_metric = threshold_metric or task.metrics[0]
    if threshold_metric not in task.metrics:
        raise ArgumentError(
            f"threshold_metric: expected one of {', '.join(task.metrics)}; "
            f"got {threshold_metric!r}"
        )
    output_dir = pathlib.Path(output_dir)
    with fileio.directory_lock(output_dir):
        return _Run(
            task,
            backbone,
            output_dir,
            data_dir,
            skip_bad=skip_bad,
            dev_threshold=dev_threshold,
            threshold_metric=threshold_metric,
            overrides=overrides,
        ).compare(frozen, control)


class _Run:
    """One run's inputs, and the steps over them."""

    def __init__(
        self,
        task,
        backbone,
        output_dir,
        data_dir,
        *,
        skip_bad,
        dev_threshold,
        threshold_metric,
        overrides,
    ):
        self.task = task
        self.dev_threshold = dev_threshold
        self.threshold_metric = threshold_metric
        self.backbone = backbone
        self.output_dir = output_dir
        self.encoder = load_backbone(
            backbone,
            dropout=0.0,
            sentence_pooling=overrides.get("sentence_pooling"),
        )
        # Spans pool nothing, whatever is asked for.
        pooling = None if task.is_span else self.encoder.sentence_pooling
        self.settings = RunSettings.for_task(
            task,
            self.encoder.hidden_dim,
            **{**overrides, "sentence_pooling": pooling},
        )
        check_freeze_layers(self.encoder.backbone, self.settings.freeze_layers)
        self.examples = {
            split: load_examples(task, split, data_dir, skip_bad=skip_bad)
            for split in task.splits
        }
        self.examples["train"] = self.examples["train"].limit(
            self.settings.limit, seed=_LIMIT_SEED
        )
        self._settings_path = output_dir / "settings.json"
        self._settings_record = {
            "task": task.name,
            **self.settings.as_record(),
        }
        part = frozen_part(**NOT_FROZEN | self.settings.freezing)
        # What the names of rows with a fine-tuned encoder say of it.
        self._frozen = part and f", {part} frozen"
        self.histories: dict[str, list[dict[str, float]]] = {}
        self.layer_importance: dict[str, list[float]] = {}
        self.files: dict[str, str] = {}
        # Of a span task, by split and system; and heads with their encoders.
        self.evaluations: dict[str, dict[str, SpanEvaluation]] = {}
        self.compared: list[tuple[str, str]] = []

    def compare(self, frozen: bool, control: bool) -> Comparison:
        settings = self.settings
        self._check_directory()
        tuned = load_backbone(
            self.backbone,
            dropout=settings.dropout,
            dtype=settings.compute_dtype,
            sentence_pooling=self.encoder.sentence_pooling,
        )
        snapshots = self._finetune(
            tuned, self.output_dir / "finetune", settings.epochs
        )
        fileio.write_json(self._settings_path, self._settings_record)
        systems = []
        for snapshot in snapshots:
            suffix = f", epoch {snapshot.epochs:g}"
            suffix = suffix if len(snapshots) > 1 else ""
            systems += self._snapshot_systems(snapshot, suffix)
        if frozen:
            systems.append(
                self._head_system(
                    "head on the frozen encoder",
                    self.encoder,
                    "frozen",
                    {},
                    kind=FROZEN_HEAD,
                    epochs=0.0,
                )
            )
        if control:
            systems.append(self._control_system(snapshots[-1]))
        return self._report(systems)

    def _check_directory(self) -> None:
        """Refuses, before any work, a directory of a run with other settings.

        The steps would do so too, but only one by one, and fine-tuning to
        more stop points would first overwrite the snapshots of fewer.
        """
        if self._settings_path.exists():
            fileio.require_same(
                self.output_dir,
                EARLIER | fileio.read_json(self._settings_path),
                EARLIER | self._settings_record,
            )

    def _finetune(
        self,
        encoder: Encoder,
        directory: pathlib.Path,
        epochs: Sequence[float],
        start: Snapshot | None = None,
    ) -> list[Snapshot]:
        return finetune(
            encoder,
            self.task,
            self.examples["train"],
            directory,
            learning_rate=self.settings.learning_rate,
            batch_size=self.settings.batch_size,
            max_tokens=self.settings.max_tokens,
            epochs=epochs,
            dropout=self.settings.dropout,
            seed=self.settings.seed,
            start=start,
            **self.settings.freezing,
        )

    def _snapshot_systems(
        self, snapshot: Snapshot, suffix: str
    ) -> list[SystemResult]:
        name = f"epoch_{snapshot.epochs:g}"
        encoder_row = self._encoder_system(
            f"fine-tuned encoder{self._frozen}{suffix}",
            snapshot,
            {"fine-tune": snapshot.seconds},
            kind=ENCODER,
            epochs=snapshot.epochs,
        )
        encoder = load_backbone(snapshot.encoder_directory, dropout=0.0)
        head_row = self._head_system(
            f"pooled head on it{suffix}",
            encoder,
            name,
            {"fine-tune": snapshot.seconds},
            kind=HEAD,
            epochs=snapshot.epochs,
        )
        self.compared.append((head_row.name, encoder_row.name))
        return [
            encoder_row,
            head_row,
            *self._ensemble_systems(encoder_row, head_row, suffix),
        ]

    def _ensemble_systems(
        self, encoder_row: SystemResult, head_row: SystemResult, suffix: str
    ) -> list[SystemResult]:
        """Encoder and head together, by each rule there is for the task."""
        rules = RULES[:1] if self.task.is_regression else RULES
        return [
            self._ensemble_system(encoder_row, head_row, rule, suffix)
            for rule in rules
        ]

    def _ensemble_system(self, encoder_row, head_row, rule, suffix):
        name = f"{rule} of encoder and head{suffix}"
        place = f"epoch_{encoder_row.epochs:g}"
        folders = [
            self.output_dir / part / place / "evaluation"
            for part in ("finetune", "head")
        ]

        def evaluate(split, directory, *threshold):
            if self.task.is_span:
                return evaluate_span_ensemble(
                    self.examples[split],
                    *(folder / split for folder in folders),
                    directory,
                    rule,
                    *threshold,
                )
            return evaluate_ensemble(
                self.task,
                *(folder / f"{split}.tsv" for folder in folders),
                directory / f"{split}.tsv",
                rule,
            )

        scores, seconds = self._scores(
            name, self.output_dir / "ensemble" / place / rule, evaluate
        )
        trained = encoder_row.trained_parameters + head_row.trained_parameters
        encoder_parameters = self.encoder.backbone.count_params()
        return SystemResult(
            name=name,
            scores=scores,
            trained_parameters=trained,
            total_parameters=(
                encoder_row.total_parameters + head_row.trained_parameters
            ),
            compression=compression(encoder_parameters, trained),
            seconds={
                **head_row.seconds,
                "predict": encoder_row.seconds["predict"]
                + head_row.seconds["predict"]
                + seconds,
            },
            kind=f"ensemble_{rule}",
            epochs=encoder_row.epochs,
        )

    def _control_system(self, snapshot: Snapshot) -> SystemResult:
        further = self._finetune(
            load_backbone(
                snapshot.encoder_directory,
                dropout=self.settings.dropout,
                dtype=self.settings.compute_dtype,
            ),
            self.output_dir / "control",
            (1.0,),
            start=snapshot,
        )[0]
        return self._encoder_system(
            f"encoder after one more epoch{self._frozen}",
            further,
            {"fine-tune": snapshot.seconds, "one more epoch": further.seconds},
            kind=CONTROL,
            epochs=snapshot.epochs + 1,
        )

    def _encoder_system(
        self,
        name: str,
        snapshot: Snapshot,
        seconds: dict[str, float],
        *,
        kind: str,
        epochs: float,
    ) -> SystemResult:
        self.histories[name] = snapshot.history
        self._add_file(name, snapshot.directory)
        scores, predict_seconds = self._scores(
            name,
            snapshot.directory / "evaluation",
            lambda split, *options: evaluate_snapshot(
                self.task, snapshot, self.examples[split], *options
            ),
        )
        parameters = self.encoder.backbone.count_params() + snapshot.parameters
        trained = parameters - snapshot.frozen_parameters
        return SystemResult(
            name=name,
            scores=scores,
            trained_parameters=trained,
            total_parameters=parameters,
            compression=compression(
                self.encoder.backbone.count_params(), trained
            ),
            seconds={**seconds, "predict": predict_seconds},
            kind=kind,
            epochs=epochs,
        )

    def _head_system(
        self,
        name: str,
        encoder: Encoder,
        directory: str,
        seconds: dict[str, float],
        *,
        kind: str,
        epochs: float,
    ) -> SystemResult:
        settings = self.settings
        caches = {
            split: write_cache(
                encoder,
                self.task,
                examples,
                self.output_dir / "cache" / directory / split,
                max_tokens=settings.max_tokens,
                dtype=settings.cache_dtype,
                compute_dtype=settings.extraction_dtype,
            )
            for split, examples in self.examples.items()
        }
        head = train_head(
            self.task,
            caches["train"],
            self.output_dir / "head" / directory,
            units=settings.units,
            learning_rate=settings.head_learning_rate,
            epochs=settings.head_epochs,
            batch_size=settings.head_batch_size,
            dropout=settings.head_dropout,
            pooler=settings.pooler,
            token_pooling=settings.token_pooling,
            projection_rate=settings.head_projection_rate,
            seed=settings.seed,
        )
        self.histories[name] = head.history
        self._add_file(name, head.model_path)
        self._add_file(
            f"{name}, hidden states", self.output_dir / "cache" / directory
        )
        scores, predict_seconds = self._scores(
            name,
            head.directory / "evaluation",
            lambda split, directory, *threshold: evaluate_head(
                self.task,
                head,
                caches[split],
                directory,
                self.examples[split],
                *threshold,
            ),
        )
        self.layer_importance[name] = layer_importance(
            head,
            caches[self.task.evaluation_splits[0]],
            head.directory / "evaluation",
        )
        encoder_parameters = encoder.backbone.count_params()
        return SystemResult(
            name=name,
            scores=scores,
            trained_parameters=head.parameters,
            total_parameters=encoder_parameters + head.parameters,
            compression=compression(encoder_parameters, head.parameters),
            seconds={
                **seconds,
                "extract": sum(
                    cache.manifest.seconds for cache in caches.values()
                ),
                "train head": head.seconds,
                "predict": predict_seconds,
            },
            kind=kind,
            epochs=epochs,
        )

    def _scores(
        self,
        name: str,
        directory: pathlib.Path,
        evaluate: Callable[..., Evaluation],
    ) -> tuple[dict[str, dict[str, float]], float]:
        """Scores of a system on every evaluation split, and the seconds."""
        scores, seconds = {}, 0.0
        options = self._threshold(directory, evaluate)
        for split in self.task.evaluation_splits:
            result = evaluate(split, directory, *options)
            self._add_file(f"{name}, {split}", result.predictions_path)
            scores[split] = result.metrics
            seconds += result.seconds
            if self.task.is_span:
                self.evaluations.setdefault(split, {})[name] = result
        return scores, seconds

    def _threshold(
        self, directory: pathlib.Path, evaluate: Callable[..., Evaluation]
    ) -> tuple[float | str, ...]:
        """The threshold a span task's system is scored with; no other's."""
        if not self.task.is_span:
            return ()
        if self.dev_threshold:
            return (self.threshold_metric,)
        held_out = evaluate(
            self.task.threshold_split, directory, self.threshold_metric
        )
        return (held_out.threshold,)

    def _report(self, systems: list[SystemResult]) -> Comparison:
        comparison = Comparison(
            task=self.task.name,
            title=self.task.title,
            main_metric=self.task.metrics[0],
            backbone=self.encoder.name,
            systems=systems,
            examples={
                split: len(examples)
                for split, examples in self.examples.items()
            },
            created=datetime.datetime.now(datetime.UTC).isoformat(
                timespec="seconds"
            ),
            settings=dataclasses.asdict(self.settings),
            files=self.files,
            versions=_versions(),
            histories=self.histories,
            encoder_parameters=self.encoder.backbone.count_params(),
            layer_importance=self.layer_importance,
            **self._more_report(),
        )
        write_report(comparison, self.output_dir)
        return comparison

    def _more_report(self) -> dict[str, Any]:
        """What the report says besides, by the kind of the task."""
        pairs = PairReports(
            self.task,
            self.examples,
            self.output_dir,
            self.files,
            seed=self.settings.seed,
        )
        if not self.task.is_span:
            return {
                "baseline": _majority_baseline(self.task, self.examples),
                "notes": pairs.error_notes(self.compared),
                "differences": pairs.differences(self.compared),
            }
        parts, tables = self.examples, []
        notes = [
            *source_notes(parts),
            window_note(self.task.windows, self.settings.max_tokens),
        ]
        for split in self.task.evaluation_splits:
            held_out = parts[self.task.threshold_split]
            notes.append(
                threshold_note(
                    None if self.dev_threshold else held_out,
                    split,
                    self.threshold_metric,
                )
            )
            tables += span_tables(
                parts[split],
                parts["train"],
                self.evaluations[split],
                self.compared,
            )
        return {
            "baseline": {
                split: always_empty(parts[split])
                for split in self.task.evaluation_splits
            },
            "baseline_name": "nothing",
            "notes": notes + pairs.error_notes(self.compared),
            "tables": tables,
        }

    def _add_file(self, name: str, path: pathlib.Path) -> None:
        self.files[name] = path.relative_to(self.output_dir).as_posix()


def _majority_baseline(
    task: TaskSpec, examples: dict[str, Examples]
) -> dict[str, dict[str, float]]:
    """Scores of always answering the most frequent class of training."""
    if task.is_regression:
        return {}
    majority = np.bincount(examples["train"].labels).argmax()
    return {
        split: compute_metrics(
            task.metrics,
            examples[split].labels,
            np.full(len(examples[split]), majority),
        )
        for split in task.evaluation_splits
    }


def _versions() -> dict[str, str]:
    packages = ("keras", "keras-hub", "tensorflow", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"bvkeras": bvkeras.__version__, **versions}
