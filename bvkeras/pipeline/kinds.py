"""What a run's report says by the kind of its task: `kind_of` finds it."""

import abc
import dataclasses
from typing import Any

import numpy as np

from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.label_tables import label_table
from bvkeras.evaluation.spans.baselines import always_empty
from bvkeras.evaluation.spans.tables import (
    source_notes,
    span_tables,
    threshold_note,
    window_note,
)
from bvkeras.evaluation.tokens.baselines import (
    MOST_FREQUENT,
    baseline_scores,
)
from bvkeras.evaluation.tokens.entity_metrics import learned_scheme
from bvkeras.evaluation.tokens.errors import tag_difference
from bvkeras.evaluation.tokens.tables import type_table
from bvkeras.evaluation.tokens.tagged_words_file import read_tagged
from bvkeras.pipeline.pairs import PairReports
from bvkeras.pipeline.run_state import RunState
from bvkeras.tasks.kind import Kind


class ReportedKind(abc.ABC):
    """The part of a run's report that its task's kind decides."""

    def report(self, state: RunState) -> dict[str, Any]:
        """What `Comparison` has besides the rows, which are done.

        Args:
            state: RunState. Gets the files that are written.
        """
        pairs = PairReports(
            state.task,
            state.examples,
            state.output_dir,
            state.files,
            seed=state.settings.seed,
        )
        return {
            "baseline": self.baseline(state),
            "notes": [
                *state.notes,
                *self.notes(state),
                *pairs.error_notes(state.compared),
                *_rounding_note(state),
            ],
            "tables": self.tables(state),
            **self.comparisons(state, pairs),
        }

    @abc.abstractmethod
    def baseline(self, state: RunState) -> dict[str, dict[str, float]]:
        """Scores of a system that knows nothing of the texts, by split."""

    @abc.abstractmethod
    def comparisons(
        self, state: RunState, pairs: PairReports
    ) -> dict[str, Any]:
        """What else `Comparison` has: how surely systems differ, and such."""

    def notes(self, state: RunState) -> list[str]:
        """Notes on the data and on how it is scored."""
        return []

    def tables(self, state: RunState) -> list[dict[str, Any]]:
        """Tables besides that of all rows."""
        return []


class ReportedClasses(ReportedKind):
    """One class a text: the most frequent one is the baseline."""

    def baseline(self, state: RunState) -> dict[str, dict[str, float]]:
        return majority_baseline(state)

    def comparisons(
        self, state: RunState, pairs: PairReports
    ) -> dict[str, Any]:
        return {
            "warnings": pairs.warnings([s.name for s in state.systems]),
            "differences": [
                *pairs.differences(state.compared),
                *pairs.differences(
                    state.compared_with_regression, "regression_difference"
                ),
            ],
        }


class ReportedLabels(ReportedClasses):
    """Several labels a text: each label's scores have a table."""

    def comparisons(
        self, state: RunState, pairs: PairReports
    ) -> dict[str, Any]:
        return {
            "baseline_name": "the most frequent labels",
            **super().comparisons(state, pairs),
        }

    def tables(self, state: RunState) -> list[dict[str, Any]]:
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


class ReportedScores(ReportedClasses):
    """A score a text: there is no most frequent one."""

    def baseline(self, state: RunState) -> dict[str, dict[str, float]]:
        return {}


class ReportedSpans(ReportedKind):
    """Spans of contexts: what a threshold does has tables and notes."""

    def baseline(self, state: RunState) -> dict[str, dict[str, float]]:
        return {
            split: always_empty(state.examples[split])
            for split in state.task.evaluation_splits
        }

    def comparisons(
        self, state: RunState, pairs: PairReports
    ) -> dict[str, Any]:
        return {"baseline_name": "nothing"}

    def notes(self, state: RunState) -> list[str]:
        task = state.task
        assert task.windows is not None
        assert task.threshold_split is not None
        held_out = state.examples[task.threshold_split]
        return [
            *source_notes(state.examples),
            window_note(task.windows, state.settings.finetune.max_tokens),
            *(
                threshold_note(
                    None if state.dev_threshold else held_out,
                    split,
                    state.threshold_metric,
                )
                for split in state.task.evaluation_splits
            ),
        ]

    def tables(self, state: RunState) -> list[dict[str, Any]]:
        return [
            table
            for split in state.task.evaluation_splits
            for table in span_tables(
                state.examples[split],
                state.examples["train"],
                state.evaluations[split],
                state.compared,
            )
        ]


def majority_baseline(state: RunState) -> dict[str, dict[str, float]]:
    """Scores of always answering the most frequent class of training.

    Of several labels a text: the most frequent set of them.

    Args:
        state: RunState. Gives the task and its examples.

    Returns:
        dict of split to its metrics.
    """
    task, examples = state.task, state.examples
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


class ReportedTokens(ReportedKind):
    """Tags of words: each type of entities has its scores in a table."""

    def baseline(self, state: RunState) -> dict[str, dict[str, float]]:
        return {
            split: baseline_scores(
                state.examples["train"],
                state.examples[split],
                state.task.metrics,
            )
            for split in state.task.evaluation_splits
        }

    def comparisons(
        self, state: RunState, pairs: PairReports
    ) -> dict[str, Any]:
        return {
            "baseline_name": MOST_FREQUENT,
            "differences": [
                {
                    "first": encoder,
                    "second": head,
                    "split": split,
                    **self._difference(state, split, encoder, head),
                }
                for head, encoder in state.compared
                for split in state.task.evaluation_splits
            ],
        }

    def _difference(
        self, state: RunState, split: str, *names: str
    ) -> dict[str, Any]:
        metric = state.task.metrics[0]
        first, second = (
            read_tagged(state.output_dir / state.files[f"{name}, {split}"])
            for name in names
        )
        scheme = learned_scheme(state.task.label_names)
        found = tag_difference(metric, first, [first], [second], scheme)
        return {"metric": metric, **dataclasses.asdict(found)}

    def tables(self, state: RunState) -> list[dict[str, Any]]:
        systems = dict.fromkeys(
            name for head, encoder in state.compared for name in (encoder, head)
        )
        return [
            type_table(
                split,
                {
                    name: state.output_dir / state.files[f"{name}, {split}"]
                    for name in systems
                },
                learned_scheme(state.task.label_names),
            )
            for split in state.task.evaluation_splits
        ]


_KINDS: dict[Kind, ReportedKind] = {
    Kind.CLASSES: ReportedClasses(),
    Kind.LABELS: ReportedLabels(),
    Kind.SCORE: ReportedScores(),
    Kind.SPAN: ReportedSpans(),
    Kind.TOKENS: ReportedTokens(),
}


def kind_of(kind: Kind) -> ReportedKind:
    """How runs of a kind are reported."""
    return _KINDS[kind]
