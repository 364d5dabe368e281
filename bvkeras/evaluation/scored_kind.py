"""What is asked of a kind of task in scoring: the class `ScoredKind`."""

import abc
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.evaluation.system_outputs import SystemOutputs
from bvkeras.tasks.spec import TaskSpec

# The examples of a kind.
E = TypeVar("E")


class ScoredKind(abc.ABC, Generic[E]):
    """Predictions, their files, and the analysis of errors of a kind."""

    @abc.abstractmethod
    def read_outputs(
        self, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores and predictions of rows.

        Args:
            outputs: float array `(rows, outputs)`. What a model gives.

        Returns:
            Two arrays. Of classes float64 probabilities `(rows, classes)` and
            int64 classes `(rows,)`; of labels float64 probabilities
            `(rows, labels)`, each by itself, and int64 0 or 1
            `(rows, labels)`; of scores the same numbers `(rows,)` twice.

        Raises:
            ArgumentError: rows of the kind have no prediction by themselves.
        """

    @abc.abstractmethod
    def evaluate(
        self,
        task: TaskSpec,
        split: str,
        examples: E | None,
        directory: pathlib.Path,
        settings: dict[str, Any],
        predict: Callable[[], SystemOutputs],
        threshold: float | str | None,
    ) -> Evaluation:
        """Scores a system on a split, or reads what was written before.

        Args:
            task: TaskSpec.
            split: str.
            examples: Examples or SpanExamples; None where the kind does not
                need them.
            directory: path. Where the files go.
            settings: dict. What the predictions are made with.
            predict: callable. Gives the model's outputs.
            threshold: float, str or None. As `evaluate_head`.

        Raises:
            RunError: the files are there and were made with something else.
        """

    @abc.abstractmethod
    def ensemble_rules(self, task: TaskSpec) -> tuple[str, ...]:
        """The rules of `bvkeras.evaluation.ensemble` a report has a row for."""

    def ensemble_file(self, task: TaskSpec, split: str) -> str:
        """The last file that `evaluate_ensemble` writes, in its directory."""
        return task.traits.score_file.format(split=split)

    @abc.abstractmethod
    def evaluate_ensemble(
        self,
        task: TaskSpec,
        examples: E,
        folders: Sequence[pathlib.Path],
        directory: pathlib.Path,
        rule: str,
        *threshold: float | str,
    ) -> Evaluation:
        """Scores two systems together on a split.

        Args:
            task: TaskSpec.
            examples: Examples or SpanExamples. The split.
            folders: sequence of two paths. Where `evaluate` put the files of
                each.
            directory: path. Where those of both go.
            rule: str. One of `ensemble_rules`.
            *threshold: float or str, where the kind has one.
        """

    @abc.abstractmethod
    def report_errors(
        self,
        examples: E,
        predictions: Sequence[pathlib.Path],
        directory: pathlib.Path,
        **options: Any,
    ) -> str:
        """Writes where two systems err on a split; gives a note on it.

        Args:
            examples: Examples or SpanExamples. The split.
            predictions: sequence of two paths. The `predictions_path` of each
                system's `Evaluation`.
            directory: path. Where the files go.
            **options: `names`, a pair of str, and `seed`, an int.
        """
