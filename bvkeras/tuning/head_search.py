"""A search for a pooled head, from its settings to its report."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras_tuner
from keras_tuner.src.distribute import utils as distribution

from bvkeras import fileio, tasks
from bvkeras.cache.convert import convert_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.errors import DataError
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.progress import progress_bar
from bvkeras.schema import (
    COUNT,
    NUMBER,
    OBJECT,
    POSITIVE,
    SECONDS,
    TEXT,
    record_of,
)
from bvkeras.tasks.setting_checks import whole_number
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import TrainedHead, train_head
from bvkeras.tuning.final_round import (
    choose_finalists,
    known_settings,
    run_final_round,
)
from bvkeras.tuning.finalist import Finalist
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.oracles import make_oracle, trials_at_once
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
from bvkeras.tuning.resumable_tuner import number_of_trials
from bvkeras.tuning.spaces import HeadSpace
from bvkeras.tuning.stacked_tuner import StackedTuner
from bvkeras.tuning.workers import run_with_workers, serve_other_machines

_FINALISTS = "finalists"
_SCHEMA = record_of(
    fixed=record_of(
        task=TEXT,
        cache=TEXT,
        cache_identity=OBJECT,
        space=OBJECT,
        oracle=TEXT,
        seed=COUNT,
        held_out=NUMBER,
        patience={"type": ["integer", "null"]},
        dtype={"type": ["string", "null"]},
    ),
    free=record_of(
        trials=COUNT,
        workers=POSITIVE,
        keep=COUNT,
        finalists=COUNT,
        finalist_seeds=COUNT,
    ),
)
for _part in _SCHEMA["properties"].values():
    _part["additionalProperties"] = False
# What of its identity a cache shares with that of the training split.
_ENCODED = ("task", "encoder", "tokenizer", "layers", "max_tokens")


@dataclasses.dataclass(frozen=True)
class HeadSearch:
    """What is searched, where, and how.

    Attributes:
        task: str or TaskSpec. The task; one of one's own is kept in
            `directory`.
        cache: str. Directory of the training split's cache.
        directory: path. Everything is written there.
        trials: int. Most trials.
        space: HeadSpace.
        oracle: str. One of `oracles.NAMES`.
        seed: int. Seed of what the oracle draws.
        held_out: float. Part of the training rows that chooses.
        patience: int or None. As of `HeadHyperModel`.
        dtype: str or None. As of `HeadHyperModel`.
        workers: int. Processes.
        keep: int. Weights are kept of so many trials.
        finalists: int. Best trials that go into the final round; 0 for none.
        finalist_seeds: int. How often each finalist is trained there.
    """

    task: str | TaskSpec
    cache: str
    directory: pathlib.Path
    trials: int
    space: HeadSpace
    oracle: str = "random"
    seed: int = 0
    held_out: float = 0.2
    patience: int | None = None
    dtype: str | None = None
    workers: int = 1
    keep: int = 3
    finalists: int = 5
    finalist_seeds: int = 4

    @classmethod
    def open(cls, directory: pathlib.Path) -> "HeadSearch":
        """The search that lies in a directory.

        Raises:
            DataError: its settings are damaged.
        """
        path = directory / SETTINGS_FILE
        record = fileio.read_json(path, _SCHEMA)
        record = {**record["fixed"], **record["free"]}
        record.pop("cache_identity")
        if record["task"] not in tasks.names():
            record["task"] = tasks.read_task(directory)
        try:
            space = HeadSpace.from_json(record.pop("space"))
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: space: {error}") from None
        return cls(directory=directory, space=space, **record)

    @property
    def spec(self) -> TaskSpec:
        """The task."""
        return tasks.spec_of(self.task)

    def write(self, cache: HiddenStateCache) -> None:
        """Writes the settings, for workers and for the next start.

        Raises:
            RunError: `directory` holds a search with other settings.
        """
        fixed = {
            "task": self.spec.name,
            "cache": self.cache,
            "cache_identity": cache.manifest.identity,
            "space": self.space.as_json(),
            "oracle": self.oracle,
            "seed": self.seed,
            "held_out": self.held_out,
            "patience": self.patience,
            "dtype": self.dtype,
        }
        free = {
            "trials": self.trials,
            "workers": self.workers,
            "keep": self.keep,
            "finalists": self.finalists,
            "finalist_seeds": self.finalist_seeds,
        }
        path = self.directory / SETTINGS_FILE
        if path.exists():
            found = fileio.read_json(path, _SCHEMA)["fixed"]
            fileio.require_same(self.directory, found, fixed)
        if self.spec.name not in tasks.names():
            tasks.write_task(self.spec, self.directory / tasks.TASK_FILE)
        fileio.write_json(path, {"fixed": fixed, "free": free})

    def check(
        self,
        cache: HiddenStateCache,
        evaluation_caches: Sequence[HiddenStateCache],
    ) -> None:
        """Refuses what cannot be searched, before anything is written.

        Args:
            cache: HiddenStateCache of the training split.
            evaluation_caches: sequence of HiddenStateCache.

        Raises:
            ArgumentError: an argument is out of its range.
            CacheError: a cache is of another encoder, or another task, than
                that of the training split.
        """
        for argument, least in (
            ("workers", 1),
            ("finalists", 0),
            ("finalist_seeds", 1),
        ):
            whole_number(least).require(argument, getattr(self, argument))
        self._oracle_for(self._hypermodel())
        wanted = {name: cache.manifest.identity[name] for name in _ENCODED}
        for one in evaluation_caches:
            one.manifest.require(one.directory, **wanted)

    def tuner(self) -> StackedTuner:
        """The tuner, which goes on where an earlier one was."""
        model = self._hypermodel()
        oracle = self._oracle_for(model)
        at_once = trials_at_once(self.oracle, self.trials, self.workers)
        return StackedTuner(
            model,
            oracle,
            self.directory,
            trials_at_once=at_once,
            keep=self.keep,
        )

    def _hypermodel(self) -> HeadHyperModel:
        return HeadHyperModel(
            self.spec,
            HiddenStateCache(self.cache),
            self.space,
            held_out=self.held_out,
            patience=self.patience,
            dtype=self.dtype,
        )

    def _oracle_for(self, model: HeadHyperModel) -> keras_tuner.Oracle:
        return make_oracle(
            self.oracle,
            model.objective,
            self.trials,
            self.seed,
            self.space.epochs,
        )


@dataclasses.dataclass(frozen=True)
class HeadSearchResult:
    """What a search for a head came to.

    Attributes:
        trials: list of TrialResult that have ended.
        best: TrialResult. The trial with the highest held-out score.
        finalists: list of Finalist, the best first; empty without a final
            round.
        winner: Finalist. The first of them, or else the best trial.
        head: TrainedHead. Trained as the winner was, on all training rows.
        scores: dict of split to metrics, of that head on the caches given.
        seconds: float. Time all processes have searched, one after another.
        report_path: path of the report.
    """

    trials: list[TrialResult]
    best: TrialResult
    finalists: list[Finalist]
    winner: Finalist
    head: TrainedHead
    scores: dict[str, dict[str, float]]
    seconds: float
    report_path: pathlib.Path


def tune_head(
    task: str | TaskSpec,
    cache: HiddenStateCache,
    directory: str | os.PathLike,
    *,
    trials: int = 100,
    space: HeadSpace | None = None,
    evaluation_caches: Sequence[HiddenStateCache] = (),
    workers: int = 1,
    **settings: Any,
) -> HeadSearchResult | None:
    """Searches for the settings of a head, and trains it with the best.

    A fixed part of the training rows chooses the best trials. They, the
    task's default settings and the paper's are trained again, with other
    seeds and scored on other training rows; the highest mean wins. The winner
    is then trained on all of them and scored once on the splits given. Killed
    at any moment, the same call goes on and comes to as many trials as were
    asked for.

    With KerasTuner's variables `KERASTUNER_ORACLE_IP`, `…_PORT` and
    `KERASTUNER_TUNER_ID` in the environment, the process named `chief` hands
    out the trials and does all that follows, and the others run them.

    Args:
        task: str or TaskSpec. As `bvkeras.tasks.get` takes it.
        cache: HiddenStateCache of the training split.
        directory: str or path. Everything is written there.
        trials: int. How many to try. Defaults to `100`. More than before
            goes on with those there are.
        space: HeadSpace. Defaults to `None`: `HeadSpace()`.
        evaluation_caches: sequence of HiddenStateCache. Splits that the best
            head is scored on. Defaults to none.
        workers: int. Processes on this machine that run trials; with a chief
            in the environment, how many there are elsewhere. Defaults to `1`:
            this one.
        **settings: `oracle`, `seed`, `held_out`, `patience`, `dtype`, `keep`,
            `finalists` and `finalist_seeds`, as `HeadSearch` has them.

    Returns:
        HeadSearchResult; None in a process that ran trials for a chief.

    Raises:
        ArgumentError: an argument is out of its range; nothing is written.
        CacheError: a shard of a cache is damaged, or an evaluation cache is
            of another encoder.
        DivergedError: all trials diverged; `directory` is free for others.
        RunError: `directory` holds a search with other settings, is in use,
            no trial succeeded, or all workers died.
    """
    directory = pathlib.Path(directory)
    space = space or HeadSpace()
    search = HeadSearch(
        task=tasks.spec_of(task),
        cache=str(cache.directory),
        directory=directory,
        trials=trials,
        space=space,
        workers=workers,
        **settings,
    )
    search.check(cache, evaluation_caches)
    search = dataclasses.replace(
        search, trials=possible_trials(trials, space.size, search.oracle)
    )
    if distribution.has_chief_oracle() and not distribution.is_chief_oracle():
        search.tuner().search()
        return None
    with fileio.directory_lock(directory):
        fileio.remove_leftovers(directory)
        search.write(cache)
        seconds, tuner = _run(search)
        return _finish(search, tuner, cache, evaluation_caches, seconds)


def _run(search: HeadSearch) -> tuple[float, StackedTuner]:
    """Runs the trials that are missing; the seconds of all runs."""
    path = search.directory / SECONDS_FILE
    earlier = fileio.read_json(path, SECONDS) if path.exists() else 0.0
    began = time.monotonic()
    tuner = search.tuner()
    oracle = tuner.oracle
    is_chief = distribution.has_chief_oracle()
    try:
        if search.workers == 1 and not is_chief:
            tuner.search()
        else:
            with progress_bar(
                "tune",
                number_of_trials(oracle),
                "trials",
                done=len(oracle.end_order),
            ) as bar:
                if is_chief:
                    serve_other_machines(oracle, bar)
                else:
                    run_with_workers(
                        oracle, search.directory, search.workers, bar
                    )
            tuner.tidy()
    finally:
        seconds = earlier + time.monotonic() - began
        fileio.write_json(path, seconds)
    return seconds, tuner


def _finish(
    search: HeadSearch,
    tuner: StackedTuner,
    cache: HiddenStateCache,
    evaluation_caches: Sequence[HiddenStateCache],
    seconds: float,
) -> HeadSearchResult:
    """The table, the plots, the best head and its scores, the report."""
    task, directory = search.spec, search.directory
    results = trial_results(tuner.oracle.trials.values())
    expected = number_of_trials(tuner.oracle)
    ranked = ranked_trials(results, task.metrics[0], directory, expected)
    best = ranked[0]
    write_trials(directory / "trials.csv", results)
    plots = write_plots(results, task.metrics[0], directory / "plots")
    finalists = _final_round(search, tuner, ranked)
    winner = (
        finalists[0]
        if finalists
        else Finalist(best.trial, _settings_made(search, tuner, best))
    )
    settings = winner.settings
    place = directory / "best" / winner.name
    caches = [cache, *evaluation_caches]
    if settings.layers and len(settings.layers) != cache.num_layers:
        # A cache numbers its layers as its encoder does.
        numbers = cache.manifest.identity["layers"]
        caches = [
            convert_cache(
                one.directory,
                place / "cache" / one.manifest.identity["split"],
                layers=[numbers[layer] for layer in settings.layers],
            )
            for one in caches
        ]
    head = train_head(
        task,
        caches[0],
        place,
        settings.config,
    )
    scores = {
        one.manifest.identity["split"]: evaluate_head(
            task, head, one, place / "evaluation"
        ).metrics
        for one in caches[1:]
    }
    report_path = write_report(
        directory,
        title=task.title,
        metric=task.metrics[0],
        what="head",
        results=results,
        held_out_rows=len(tuner.hypermodel.parts(None)[1]),
        training_rows=len(cache),
        finalists=finalists,
        best_files={"best head": head.model_path},
        scores=scores,
        seconds=seconds,
        settings={**search.space.as_json(), "oracle": search.oracle},
        plots=plots,
    )
    return HeadSearchResult(
        results,
        best,
        finalists,
        winner,
        head,
        scores,
        seconds,
        report_path,
    )


def _final_round(
    search: HeadSearch, tuner: StackedTuner, ranked: list[TrialResult]
) -> list[Finalist]:
    """The finalists, the best first; none where none were asked for."""
    if not search.finalists:
        return []
    task, model = search.spec, tuner.hypermodel
    own = task.settings_for(model.cache.hidden_dim).head
    paper = task.paper_settings.head
    # The paper's head reads no pairs apart.
    known = known_settings(own, paper if paper.pooler in task.poolers else own)
    trials = [(one.trial, _settings_made(search, tuner, one)) for one in ranked]
    return run_final_round(
        model,
        choose_finalists(known, trials, search.finalists),
        search.finalist_seeds,
        search.directory / _FINALISTS,
    )


def _settings_made(
    search: HeadSearch, tuner: StackedTuner, result: TrialResult
) -> HeadSettings:
    """A trial's settings, with as many passes as it made, from the start."""
    # Of a trial that has ended.
    assert result.epochs is not None
    values = tuner.oracle.trials[result.trial].hyperparameters
    return dataclasses.replace(
        HeadSettings.declared(search.space, values),
        epochs=round(result.epochs),
        first_epoch=0,
        starting_trial=None,
    )
