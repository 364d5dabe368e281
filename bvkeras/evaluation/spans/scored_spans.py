"""How tasks of questions are scored: the class `ScoredSpans`."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bvkeras.data.span_examples import SpanExamples
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.ensemble import RULES
from bvkeras.evaluation.scored_kind import ScoredKind
from bvkeras.evaluation.spans.answers import WindowLogits, evaluate_spans
from bvkeras.evaluation.spans.answers_file import read_answers
from bvkeras.evaluation.spans.ensemble import evaluate_span_ensemble
from bvkeras.evaluation.spans.error_report import (
    report_span_errors,
    span_error_note,
)
from bvkeras.evaluation.spans.evaluation import SpanEvaluation
from bvkeras.evaluation.system_outputs import SystemOutputs
from bvkeras.tasks.spec import TaskSpec


class ScoredSpans(ScoredKind[SpanExamples]):
    """Answers to questions, in the official files, in a folder a split."""

    def read_outputs(
        self, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        raise ArgumentError(
            "task: expected one whose texts have outputs, got one of spans"
        )

    def evaluate(
        self,
        task: TaskSpec,
        split: str,
        examples: SpanExamples | None,
        directory: pathlib.Path,
        settings: dict[str, Any],
        predict: Callable[[], SystemOutputs],
        threshold: float | str | None,
    ) -> SpanEvaluation:
        def logits() -> WindowLogits:
            found = predict()
            assert found.offsets is not None
            return WindowLogits(found.ids, found.outputs, found.offsets)

        # Those of a span task, which were checked.
        assert examples is not None
        assert threshold is not None

        return evaluate_spans(examples, directory, settings, logits, threshold)

    def ensemble_rules(self, task: TaskSpec) -> tuple[str, ...]:
        return RULES

    def evaluate_ensemble(
        self,
        task: TaskSpec,
        examples: SpanExamples,
        folders: Sequence[pathlib.Path],
        directory: pathlib.Path,
        rule: str,
        *threshold: float | str,
    ) -> SpanEvaluation:
        first, second = (folder / examples.split for folder in folders)
        return evaluate_span_ensemble(
            examples, first, second, directory, rule, *threshold
        )

    def report_errors(
        self,
        examples: SpanExamples,
        predictions: Sequence[pathlib.Path],
        directory: pathlib.Path,
        **options: Any,
    ) -> str:
        first, second = (read_answers(path, examples) for path in predictions)
        return span_error_note(
            report_span_errors(
                examples.questions, first, second, directory, **options
            )
        )
