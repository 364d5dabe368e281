"""The comparison of all rows, and its report."""

import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
from typing import Any

import numpy as np

import bvkeras
from bvkeras.evaluation.comparison import Comparison
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.spans.baselines import always_empty
from bvkeras.evaluation.spans.tables import (
    source_notes,
    span_tables,
    threshold_note,
    window_note,
)
from bvkeras.pipeline.hardware import hardware
from bvkeras.pipeline.pairs import PairReports
from bvkeras.pipeline.run_state import RunState
from bvkeras.pipeline.step import Step
from bvkeras.reports.report import write_report


class Report(Step):
    """Compares the rows, and writes `report.*` and `plots/`.

    Attributes:
        comparison: Comparison, or None before it was made.
    """

    def __init__(self, state: RunState, epochs: float = 0.0):
        super().__init__(state, epochs)
        self.comparison: Comparison | None = None

    @property
    def title(self) -> str:
        return "compare and report"

    @property
    def inputs(self) -> list[pathlib.Path]:
        return [
            self.state.output_dir / path for path in self.state.files.values()
        ]

    @property
    def outputs(self) -> list[pathlib.Path]:
        names = ("report.json", "report.md", "report.html")
        return [self.state.output_dir / name for name in names]

    def perform(self) -> None:
        state = self.state
        self.comparison = Comparison(
            task=state.task.name,
            title=state.task.title,
            main_metric=state.task.metrics[0],
            backbone=state.encoder.name,
            systems=state.systems,
            examples={
                split: len(examples)
                for split, examples in state.examples.items()
            },
            created=datetime.datetime.now(datetime.UTC).isoformat(
                timespec="seconds"
            ),
            settings=dataclasses.asdict(state.settings),
            files=state.files,
            versions=_versions(),
            histories=state.histories,
            encoder_parameters=state.encoder_parameters,
            layer_importance=state.layer_importance,
            command=state.command,
            hardware=hardware(),
            **_of_the_kind(state),
        )
        write_report(self.comparison, state.output_dir)


def _of_the_kind(state: RunState) -> dict[str, Any]:
    """What the report says besides, by the kind of the task."""
    pairs = PairReports(
        state.task,
        state.examples,
        state.output_dir,
        state.files,
        seed=state.settings.seed,
    )
    if not state.task.is_span:
        return {
            "baseline": majority_baseline(state),
            "notes": state.notes + pairs.error_notes(state.compared),
            "differences": [
                *pairs.differences(state.compared),
                *pairs.differences(
                    state.compared_with_regression, "regression_difference"
                ),
            ],
        }
    parts, tables = state.examples, []
    notes = [
        *state.notes,
        *source_notes(parts),
        window_note(state.task.windows, state.settings.max_tokens),
    ]
    for split in state.task.evaluation_splits:
        held_out = parts[state.task.threshold_split]
        notes.append(
            threshold_note(
                None if state.dev_threshold else held_out,
                split,
                state.threshold_metric,
            )
        )
        tables += span_tables(
            parts[split],
            parts["train"],
            state.evaluations[split],
            state.compared,
        )
    return {
        "baseline": {
            split: always_empty(parts[split])
            for split in state.task.evaluation_splits
        },
        "baseline_name": "nothing",
        "notes": notes + pairs.error_notes(state.compared),
        "tables": tables,
    }


def majority_baseline(state: RunState) -> dict[str, dict[str, float]]:
    """Scores of always answering the most frequent class of training.

    Args:
        state: RunState. Gives the task and its examples.

    Returns:
        dict of split to its metrics; empty of a regression.
    """
    task, examples = state.task, state.examples
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
    return {
        "bvkeras": bvkeras.__version__,
        **versions,
        "python": platform.python_version(),
    }
