"""How tasks are scored whose outputs are of texts: classes, labels, scores."""

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special

from bvkeras import fileio
from bvkeras.data.examples import Examples
from bvkeras.evaluation.ensemble import RULES, evaluate_ensemble
from bvkeras.evaluation.error_report import error_note, report_errors
from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.outcomes import read_outcomes
from bvkeras.evaluation.outputs import chosen_labels
from bvkeras.evaluation.predictions import write_predictions
from bvkeras.evaluation.scored_kind import ScoredKind
from bvkeras.evaluation.system_outputs import SystemOutputs
from bvkeras.schema import NUMBER, OBJECT, SECONDS, record_of, table_of
from bvkeras.tasks.spec import TaskSpec

_SCHEMA = record_of(metrics=table_of(NUMBER), seconds=SECONDS, settings=OBJECT)


class ScoredTexts(ScoredKind[Examples]):
    """One row of predictions a text, in `<split>.tsv`."""

    def evaluate(
        self,
        task: TaskSpec,
        split: str,
        examples: Examples | None,
        directory: pathlib.Path,
        settings: dict[str, Any],
        predict: Callable[[], SystemOutputs],
        threshold: float | str | None,
    ) -> Evaluation:
        path = directory / f"{split}.tsv"
        record_path = directory / task.traits.score_file.format(split=split)
        if record_path.exists() and path.exists():
            record = fileio.read_json(record_path, _SCHEMA)
            fileio.require_same(record_path, record["settings"], settings)
            return Evaluation(record["metrics"], record["seconds"], path)
        began = time.monotonic()
        found = predict()
        seconds = time.monotonic() - began
        scores, predictions = self.read_outputs(found.outputs)
        metrics = compute_metrics(task.metrics, found.labels, predictions)
        write_predictions(
            path,
            found.ids,
            predictions,
            found.labels,
            scores,
            task.label_names,
        )
        fileio.write_json(
            record_path,
            {"metrics": metrics, "seconds": seconds, "settings": settings},
        )
        return Evaluation(metrics, seconds, path)

    def ensemble_rules(self, task: TaskSpec) -> tuple[str, ...]:
        return RULES[:1]

    def ensemble_file(self, task: TaskSpec, split: str) -> str:
        # Predictions alone: the scores are counted anew, in no time.
        return f"{split}.tsv"

    def evaluate_ensemble(
        self,
        task: TaskSpec,
        examples: Examples,
        folders: Sequence[pathlib.Path],
        directory: pathlib.Path,
        rule: str,
        *threshold: float | str,
    ) -> Evaluation:
        name = self.ensemble_file(task, examples.split)
        first, second = (folder / name for folder in folders)
        return evaluate_ensemble(task, first, second, directory / name, rule)

    def report_errors(
        self,
        examples: Examples,
        predictions: Sequence[pathlib.Path],
        directory: pathlib.Path,
        **options: Any,
    ) -> str:
        first, second = (read_outcomes(path) for path in predictions)
        texts = examples.texts_of(first.ids)
        return error_note(
            report_errors(first, second, directory, texts=texts, **options)
        )


class ScoredClasses(ScoredTexts):
    """One class a text."""

    def read_outputs(
        self, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        probabilities = scipy.special.softmax(
            outputs.astype(np.float64), axis=-1
        )
        return probabilities, outputs.argmax(axis=-1)

    def ensemble_rules(self, task: TaskSpec) -> tuple[str, ...]:
        # Of two classes the mean and the maximum predict the same: either
        # takes class 1 where the two probabilities of it add up to more than
        # 1.
        return RULES if task.num_labels > 2 else RULES[:1]


class ScoredLabels(ScoredTexts):
    """Several labels a text; the maximum would only choose more of them."""

    def read_outputs(
        self, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        probabilities = scipy.special.expit(outputs.astype(np.float64))
        return probabilities, chosen_labels(probabilities)


class ScoredScores(ScoredTexts):
    """A score a text."""

    def read_outputs(
        self, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return outputs[:, 0], outputs[:, 0]
