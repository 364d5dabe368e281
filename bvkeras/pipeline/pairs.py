"""Each head of a run against another row: the class `PairReports`."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.evaluation.error_report import one_class_sentence
from bvkeras.evaluation.kinds import kind_of
from bvkeras.evaluation.outcomes import read_outcomes
from bvkeras.evaluation.paired_bootstrap import measured_difference
from bvkeras.tasks.spec import TaskSpec

# Names of a head and of what it is compared with, such as its encoder.
Pairs = Sequence[tuple[str, str]]


class PairReports:
    """Where heads and other systems err, and how surely they differ.

    Args:
        task: TaskSpec.
        examples: mapping of split to its examples.
        output_dir: path. The run's directory.
        files: dict of name to path relative to it. Has the predictions of
            every system; gets what is written.
        seed: int. Seed of the examples that are sampled.
    """

    def __init__(
        self,
        task: TaskSpec,
        examples: Mapping[str, Examples | SpanExamples],
        output_dir: pathlib.Path,
        files: dict[str, str],
        seed: int,
    ):
        self.task = task
        self.examples = examples
        self.output_dir = output_dir
        self.files = files
        self.seed = seed

    def error_notes(self, pairs: Pairs) -> list[str]:
        """Writes where both systems of each pair err; gives a note on each."""
        notes = []
        for head, encoder in pairs:
            for split in self.task.evaluation_splits:
                paths = self._paths(encoder, head, split)
                directory = self._scores(paths[1]) / f"errors_{split}"
                notes.append(
                    kind_of(self.task.kind).report_errors(
                        self.examples[split],
                        paths,
                        directory,
                        names=(encoder, head),
                        seed=self.seed,
                    )
                )
                path = (directory / "errors.md").relative_to(self.output_dir)
                self.files[f"{head}, errors on {split}"] = path.as_posix()
        return notes

    def warnings(self, systems: Sequence[str]) -> list[str]:
        """Says of which systems the predictions are the same for all rows.

        Args:
            systems: sequence of str. Their names.
        """
        found = []
        for name in systems:
            for split in self.task.evaluation_splits:
                path = self.output_dir / self.files[f"{name}, {split}"]
                predicted = np.unique(read_outcomes(path).predictions)
                if len(predicted) == 1:
                    sentence = one_class_sentence(name, str(predicted[0]))
                    found.append(f"on {split}, {sentence}")
        return found

    def differences(
        self, pairs: Pairs, file: str = "difference"
    ) -> list[dict[str, Any]]:
        """Differences by the main metric, as `Comparison` has them.

        Args:
            pairs: sequence of pairs of names.
            file: str. How the names of files begin that keep what was
                measured, beside the predictions of each pair's head.
        """
        metric = self.task.metrics[0]
        differences = []
        for head, other in pairs:
            for split in self.task.evaluation_splits:
                paths = self._paths(other, head, split)
                found = measured_difference(
                    metric,
                    paths[0],
                    paths[1],
                    paths[1].parent / f"{file}_{split}.json",
                )
                differences.append(
                    {
                        "first": other,
                        "second": head,
                        "split": split,
                        "metric": metric,
                        **dataclasses.asdict(found),
                    }
                )
        return differences

    def _paths(self, other, head, split):
        return [
            self.output_dir / self.files[f"{name}, {split}"]
            for name in (other, head)
        ]

    def _scores(self, predictions: pathlib.Path) -> pathlib.Path:
        """The folder of a system's scores, which may have one a split."""
        depth = self.task.traits.score_file.count("/")
        return predictions.parents[depth]
