"""What a search found, as a table."""

import csv
import dataclasses
import io
import os
from collections.abc import Iterable
from typing import Any

from keras_tuner.engine.trial import Trial

from bvkeras import fileio
from bvkeras.evaluation.metric_direction import goodness
from bvkeras.printable import spreadsheet_cell


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """One trial of a search.

    Attributes:
        trial: str. Its name.
        score: float or None. By the task's first metric on the held-out
            rows; None if it failed.
        loss: float or None. Mean loss of its last pass.
        epochs: float or None. Passes it made.
        settings: dict. What it was trained with.
    """

    trial: str
    score: float | None
    loss: float | None
    epochs: float | None
    settings: dict[str, Any]


def trial_results(trials: Iterable[Trial]) -> list[TrialResult]:
    """The results of an oracle's trials that have ended, by name."""
    results = []
    for trial in sorted(trials, key=lambda trial: trial.trial_id):
        if trial.status not in ("COMPLETED", "FAILED"):
            continue
        metrics = {
            name: float(trial.metrics.get_best_value(name))
            for name in ("loss", "epochs")
            if trial.metrics.exists(name)
        }
        results.append(
            TrialResult(
                trial.trial_id,
                None if trial.score is None else float(trial.score),
                metrics.get("loss"),
                metrics.get("epochs"),
                dict(trial.hyperparameters.values),
            )
        )
    return results


def write_trials(
    path: str | os.PathLike, results: Iterable[TrialResult]
) -> None:
    """Writes a line for each trial as CSV, atomically.

    The columns are `trial`, `score`, `loss`, `epochs_trained` and one for
    each setting.
    """
    results = list(results)
    names = list(dict.fromkeys(n for r in results for n in r.settings))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["trial", "score", "loss", "epochs_trained", *names]
    writer.writerow(map(spreadsheet_cell, columns))
    for result in results:
        cells = [result.trial, result.score, result.loss, result.epochs]
        cells += [result.settings.get(name) for name in names]
        writer.writerow([_cell(cell) for cell in cells])
    fileio.write_text(path, text.getvalue())


def best_results(
    results: Iterable[TrialResult], metric: str
) -> list[TrialResult]:
    """The trials with a score, the best first; of equals, the earlier.

    Args:
        results: iterable of TrialResult.
        metric: str. What they are scored by.
    """
    scored = [
        (-goodness(metric, result.score), result)
        for result in results
        if result.score is not None
    ]
    return [result for _, result in sorted(scored, key=lambda pair: pair[0])]


def _cell(value: Any) -> Any:
    """Seven digits: as many as a number keeps on its way from a worker."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.7g}"
    return spreadsheet_cell(value)
