"""A search for the settings of fine-tuning, from those to its report."""

import dataclasses
import os
import pathlib
import time
from typing import Any

from bvkeras import fileio, tasks
from bvkeras.data.example_checks import check_examples
from bvkeras.data.examples import Examples
from bvkeras.encoders import hub
from bvkeras.encoders.loading import load_backbone
from bvkeras.evaluation.evaluate import evaluate_snapshot
from bvkeras.schema import OBJECT, SECONDS
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.finetune import Snapshot, finetune
from bvkeras.tuning.encoder_hypermodel import EncoderHyperModel
from bvkeras.tuning.oracles import make_oracle
from bvkeras.tuning.outcome import (
    SECONDS_FILE,
    SETTINGS_FILE,
    possible_trials,
    ranked_trials,
)
from bvkeras.tuning.plots import write_plots
from bvkeras.tuning.report import write_report
from bvkeras.tuning.result import (
    TrialResult,
    trial_results,
    write_trials,
)
from bvkeras.tuning.resumable_tuner import ResumableTuner
from bvkeras.tuning.spaces import EncoderSpace


@dataclasses.dataclass(frozen=True)
class EncoderSearchResult:
    """What a search for the settings of fine-tuning came to.

    Attributes:
        trials: list of TrialResult that have ended.
        best: TrialResult. The trial with the highest held-out score.
        snapshot: Snapshot or None. The encoder fine-tuned with its settings
            on all training rows, if that was asked for.
        scores: dict of split to metrics of that encoder.
        seconds: float. Time all processes have searched.
        report_path: path of the report.
    """

    trials: list[TrialResult]
    best: TrialResult
    snapshot: Snapshot | None
    scores: dict[str, dict[str, float]]
    seconds: float
    report_path: pathlib.Path


def tune_encoder(
    task: str | TaskSpec,
    backbone: str,
    examples: dict[str, Examples],
    directory: str | os.PathLike,
    *,
    trials: int = 100,
    space: EncoderSpace | None = None,
    oracle: str = "random",
    seed: int = 0,
    keep: int = 1,
    retrain: bool = True,
    max_tokens: int | None = None,
    dropout: float | None = None,
    sentence_pooling: str | None = None,
    **settings: Any,
) -> EncoderSearchResult:
    """Searches for the settings of fine-tuning, and trains with the best.

    A fixed part of the training rows chooses; the encoder is then fine-tuned
    on all of them and scored once on the other splits. Killed at any moment,
    the same call goes on and comes to as many trials as were asked for.

    Args:
        task: TaskSpec, or its name.
        backbone: str. What `load_backbone` opens.
        examples: dict of split to Examples: `"train"`, and those the best
            encoder is scored on.
        directory: str or path. Everything is written there.
        trials: int. How many to try. Defaults to `100`.
        space: EncoderSpace. Defaults to `None`: `EncoderSpace()`.
        oracle: str. `"random"`, `"bayesian"` or `"grid"`.
        seed: int. Seed of what the oracle draws. Defaults to `0`.
        keep: int. Weights are kept of so many trials. Defaults to `1`.
        retrain: bool. Whether to fine-tune with the best settings on all
            training rows. Defaults to `True`.
        max_tokens: int or None. As of `EncoderHyperModel`.
        dropout: float or None. As of `EncoderHyperModel`.
        sentence_pooling: str or None. As of `EncoderHyperModel`.
        **settings: `rows_share`, `held_out` and `compute_dtype`, as of
            `EncoderHyperModel`.

    Raises:
        ArgumentError: an argument is out of its range; nothing is written.
        DivergedError: all trials diverged; `directory` is free for others.
        RunError: `directory` holds a search with other settings or is in use,
            or no trial succeeded.
    """
    task = tasks.spec_of(task)
    for part in examples.values():
        check_examples(task, part)
    directory = pathlib.Path(directory)
    backbone = hub.pinned(backbone)
    encoder = load_backbone(
        backbone, dropout=0.0, sentence_pooling=sentence_pooling
    )
    model = EncoderHyperModel(
        task,
        backbone,
        examples["train"],
        space,
        max_tokens=max_tokens,
        dropout=dropout,
        sentence_pooling=encoder.sentence_pooling,
        **settings,
    )
    record = {
        "task": task.name,
        "encoder": encoder.digest(),
        "data": examples["train"].digest,
        "space": model.space.as_json(),
        "oracle": oracle,
        "seed": seed,
        "max_tokens": model.max_tokens,
        "dropout": model.dropout,
        "settings": settings,
        "sentence_pooling": encoder.sentence_pooling,
    }
    encoder.check_max_tokens(model.max_tokens)
    trials = possible_trials(trials, model.space.size, oracle)
    made_oracle = make_oracle(oracle, model.objective, trials, seed)
    with fileio.directory_lock(directory):
        fileio.remove_leftovers(directory)
        path = directory / SETTINGS_FILE
        if path.exists():
            found = fileio.read_json(path, OBJECT)
            fileio.require_same(directory, found, record)
        fileio.write_json(path, record)
        tuner = ResumableTuner(
            model,
            made_oracle,
            directory,
            keep=keep,
        )
        seconds = _timed(tuner, directory / SECONDS_FILE)
        results = trial_results(tuner.oracle.trials.values())
        ranked = ranked_trials(results, task.metrics[0], directory, trials)
        write_trials(directory / "trials.csv", results)
        plots = write_plots(results, task.metrics[0], directory / "plots")
        snapshot, scores = None, {}
        if retrain:
            hp = tuner.oracle.trials[ranked[0].trial].hyperparameters
            snapshot, scores = _retrain(
                model,
                model.config(hp),
                examples,
                directory / "best" / ranked[0].trial,
            )
        report_path = write_report(
            directory,
            title=task.title,
            metric=task.metrics[0],
            what="encoder",
            results=results,
            held_out_rows=model.held_out_rows,
            training_rows=model.held_out_rows + model.training_rows,
            best_files=(
                {"best encoder": snapshot.directory} if snapshot else {}
            ),
            scores=scores,
            seconds=seconds,
            settings={**model.space.as_json(), "oracle": oracle},
            plots=plots,
        )
    return EncoderSearchResult(
        results, ranked[0], snapshot, scores, seconds, report_path
    )


def _timed(tuner: ResumableTuner, path: pathlib.Path) -> float:
    """Runs the trials that are missing; the seconds of all runs."""
    earlier = fileio.read_json(path, SECONDS) if path.exists() else 0.0
    began = time.monotonic()
    try:
        tuner.search()
    finally:
        seconds = earlier + time.monotonic() - began
        fileio.write_json(path, seconds)
    return seconds


def _retrain(model, config, examples, directory):
    snapshot = finetune(
        model.open_encoder(), model.task, examples["train"], directory, config
    )[0]
    scores = {
        split: evaluate_snapshot(
            model.task, snapshot, rows, directory / "evaluation"
        ).metrics
        for split, rows in examples.items()
        if split != "train"
    }
    return snapshot, scores
