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
from bvkeras.evaluation.label_tables import label_table
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
        baseline_name = {}
        if state.task.several_labels:
            baseline_name = {"baseline_name": "the most frequent labels"}
        return {
            "baseline": majority_baseline(state),
            **baseline_name,
            "notes": [
                *state.notes,
                *pairs.error_notes(state.compared),
                *_rounding_note(state),
            ],
            "warnings": pairs.warnings([s.name for s in state.systems]),
            "differences": [
                *pairs.differences(state.compared),
                *pairs.differences(
                    state.compared_with_regression, "regression_difference"
                ),
            ],
            "tables": _label_tables(state),
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
        "notes": [
            *notes,
            *pairs.error_notes(state.compared),
            *_rounding_note(state),
        ],
        "tables": tables,
    }


def _rounding_note(state: RunState) -> list[str]:
    """What heads compute here and not in an export."""
    dtype = state.settings.cache_dtype
    if dtype == "float32":
        return []
    rounded = "bfloat16" if dtype == "int8" else dtype
    return [
        f"Heads are trained and scored on hidden states in {dtype}, with their "
        f"pooling's kernel rounded to {rounded}. An export rounds neither: its "
        "probabilities differ by up to some thousandths."
    ]


def majority_baseline(state: RunState) -> dict[str, dict[str, float]]:
    """Scores of always answering the most frequent class of training.

    Of several labels a text: the most frequent set of them.

    Args:
        state: RunState. Gives the task and its examples.

    Returns:
        dict of split to its metrics; empty of a regression.
    """
    task, examples = state.task, state.examples
    if task.is_regression:
        return {}
    answers, counts = np.unique(
        examples["train"].labels, axis=0, return_counts=True
    )
    majority = answers[counts.argmax()]
    return {
        split: compute_metrics(
            task.metrics,
            examples[split].labels,
            np.full_like(examples[split].labels, majority),
        )
        for split in task.evaluation_splits
    }


def _label_tables(state: RunState) -> list[dict[str, Any]]:
    """Each label's scores, where a text has several."""
    if not state.task.several_labels:
        return []
    systems = dict.fromkeys(
        name for head, encoder in state.compared for name in (encoder, head)
    )
    return [
        label_table(
            split,
            {
                name: state.output_dir / state.files[f"{name}, {split}"]
                for name in systems
            },
        )
        for split in state.task.evaluation_splits
    ]


def _versions() -> dict[str, str]:
    packages = ("keras", "keras-hub", "tensorflow", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "bvkeras": bvkeras.__version__,
        **versions,
        "python": platform.python_version(),
    }
