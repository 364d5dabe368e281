"""The tuner `StackedTuner`."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from bvkeras import fileio
from bvkeras.training.target_scale import target_settings
from bvkeras.tuning.durable_oracle import DurableOracle
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.resumable_tuner import ResumableTuner
from bvkeras.tuning.wave import Wave, split_in_waves

_IDLE_SECONDS = 1.0


class StackedTuner(ResumableTuner):
    """Trains many trials of a `HeadHyperModel` at once, for any oracle.

    It asks the oracle for several trials, puts those together that have the
    same batches, and trains each such wave in one graph over one pass of the
    cache after another. A trial comes to what it would come to alone.

    Killed at any moment, a tuner made with the same arguments goes on: trials
    that have ended stand, a wave goes on after its last pass.

    Args:
        hypermodel: HeadHyperModel.
        oracle: keras_tuner.Oracle, with the hypermodel's objective.
        directory: str or path. KerasTuner's files go into its folder
            `trials`.
        trials_at_once: int. Trials asked for at once. An oracle that learns
            from results learns from none of them while they are trained.
            Defaults to `100`.
        keep: int. Weights are kept of so many trials, the best; while it
            searches with the Hyperband oracle, which has trials go on where
            others ended, of all. Defaults to `3`.

    Example:
        ```python
        model = HeadHyperModel(task, cache)
        oracle = keras_tuner.oracles.RandomSearchOracle(
            model.objective, max_trials=100
        )
        tuner = StackedTuner(model, oracle, "runs/tuning")
        tuner.search()
        tuner.get_best_hyperparameters()
        ```
    """

    def __init__(
        self,
        hypermodel: HeadHyperModel,
        oracle: keras_tuner.Oracle,
        directory: str | os.PathLike,
        *,
        trials_at_once: int = 100,
        keep: int = 3,
    ):
        super().__init__(hypermodel, oracle, directory, keep=keep)
        self.trials_at_once = trials_at_once

    def search(self) -> None:
        """Runs trials until the oracle has no more.

        Raises:
            CacheError: a shard of the cache is damaged.
        """
        with self._begun():
            while True:
                trials, stopped = self._ask()
                if not trials and stopped:
                    break
                if not trials:
                    time.sleep(_IDLE_SECONDS)
                settings = [self._settings(trial) for trial in trials]
                for places in split_in_waves(settings):
                    self._run_wave(
                        [trials[place] for place in places],
                        [settings[place] for place in places],
                    )
        if not self._is_worker():
            self.tidy()

    def tidy(self) -> None:
        """Removes what only a search under way needs."""
        self._prune()
        for path in pathlib.Path(self.project_dir).glob("wave-*"):
            path.unlink()

    def _ask(self) -> tuple[list[Trial], bool]:
        """Trials to run now, and whether the oracle has no more of them."""
        trials, stopped, count = [], False, self.trials_at_once
        if isinstance(self.oracle, DurableOracle):
            # Those that were under way when the search was killed come back
            # as the same wave.
            count = len(self.oracle._retry_queue) or count
        with self._saved_once():
            for number in range(count):
                # An oracle gives one trial to one tuner at a time.
                trial = self.oracle.create_trial(
                    f"{self.tuner_id}-{number:03d}"
                )
                if trial.status == "IDLE":
                    break
                if trial.status == "STOPPED":
                    # Every name it was asked under has to be told.
                    stopped = True
                    continue
                trials.append(trial)
        return trials, stopped

    def _settings(self, trial: Trial) -> HeadSettings:
        settings = self.hypermodel.settings(trial.hyperparameters)
        start = settings.starting_trial
        if start and not self._checkpoint(start).exists():
            # On another machine, say: it makes all passes itself.
            return dataclasses.replace(
                settings, first_epoch=0, starting_trial=None
            )
        return settings

    def _run_wave(
        self, trials: Sequence[Trial], settings: Sequence[HeadSettings]
    ) -> None:
        identity: list[Any] = [
            [t.trial_id, dataclasses.asdict(own)]
            for t, own in zip(trials, settings, strict=True)
        ]
        identity.append(target_settings(self.hypermodel.task))
        wave = Wave(
            self.hypermodel,
            settings,
            self._wave_path(fileio.value_digest(identity)),
            lambda note: self._bar.advance(0, f"{note}, {self._best_note}"),
        )
        for number, (trial, own) in enumerate(
            zip(trials, settings, strict=True)
        ):
            if own.starting_trial:
                weights = self._starting_weights(trial, own)
                wave.heads.set_weights(number, weights)
        self._report(trials, wave.run(), wave.heads)
        wave.forget()

    def _report(self, trials, results, heads) -> None:
        """Tells the oracle, and keeps the weights of the best."""
        with self._saved_once():
            for trial, result in zip(trials, results, strict=True):
                self.oracle.update_trial(trial.trial_id, result)
                trial.status = "COMPLETED"
                self.oracle.end_trial(trial)
        kept = self._kept()
        for number, trial in enumerate(trials):
            if self._keeps_all or trial.trial_id in kept:
                self._save_weights(trial, heads.weights(number))
        if not self._keeps_all:
            self._prune()
        self._show_ended(len(trials))

    def _save_weights(self, trial: Trial, weights: list[np.ndarray]) -> None:
        model = self.hypermodel.build(trial.hyperparameters)
        model.set_weights(weights)
        with fileio.atomic_path(self._checkpoint(trial.trial_id)) as temporary:
            model.save_weights(temporary)

    def _starting_weights(self, trial, settings) -> list[np.ndarray]:
        model = self.hypermodel.build(trial.hyperparameters)
        model.load_weights(self._checkpoint(settings.starting_trial))
        return model.get_weights()

    def _wave_path(self, digest: str) -> pathlib.Path:
        name = f"wave-{self.tuner_id}-{digest[:16]}.safetensors"
        return pathlib.Path(self.project_dir, name)
