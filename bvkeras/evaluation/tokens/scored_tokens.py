"""How tasks of tagged words are scored: the class `ScoredTokens`."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bvkeras.data.token_examples import TokenExamples
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.evaluation.scored_kind import ScoredKind
from bvkeras.evaluation.system_outputs import SystemOutputs
from bvkeras.evaluation.tokens.answers import evaluate_tags
from bvkeras.evaluation.tokens.entity_metrics import learned_scheme
from bvkeras.evaluation.tokens.error_report import (
    report_tag_errors,
    tag_error_note,
)
from bvkeras.evaluation.tokens.tagged_words_file import read_tagged
from bvkeras.tasks.spec import TaskSpec


class ScoredTokens(ScoredKind[TokenExamples]):
    """A tag for each word, scored by whole entities."""

    def read_outputs(
        self, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        raise ArgumentError(
            "task: expected one whose texts have outputs, got one of words"
        )

    def evaluate(
        self,
        task: TaskSpec,
        split: str,
        examples: TokenExamples | None,
        directory: pathlib.Path,
        settings: dict[str, Any],
        predict: Callable[[], SystemOutputs],
        threshold: float | str | None,
    ) -> Evaluation:
        # Those of a task of words, which were checked.
        assert examples is not None
        return evaluate_tags(
            examples, task.metrics, directory, settings, predict
        )

    def ensemble_rules(self, task: TaskSpec) -> tuple[str, ...]:
        # The files have the probability of the tag that is given alone.
        return ()

    def evaluate_ensemble(
        self,
        task: TaskSpec,
        examples: TokenExamples,
        folders: Sequence[pathlib.Path],
        directory: pathlib.Path,
        rule: str,
        *threshold: float | str,
    ) -> Evaluation:
        raise ArgumentError(f"rule: there is none for {task.name}, got {rule}")

    def report_errors(
        self,
        examples: TokenExamples,
        predictions: Sequence[pathlib.Path],
        directory: pathlib.Path,
        **options: Any,
    ) -> str:
        first, second = map(read_tagged, predictions)
        return tag_error_note(
            report_tag_errors(
                first,
                second,
                learned_scheme(examples.label_names),
                directory,
                **options,
            )
        )
