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
from bvkeras.training.state import load_state, read_progress, save_state
from bvkeras.tuning.durable_oracle import DurableOracle
from bvkeras.tuning.head_hypermodel import HeadHyperModel, out_of_patience
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.held_out import held_out_score
from bvkeras.tuning.resumable_tuner import ResumableTuner
from bvkeras.tuning.stacked_heads import StackedHeads

# What one wave may hold: more trains no faster, and takes memory.
_WAVE_UNITS = 1024
_IDLE_SECONDS = 1.0


class StackedTuner(ResumableTuner):
    """Trains many trials of a `HeadHyperModel` at once, for any oracle.

    It asks the oracle for several trials, puts those together that have the
    same batches, and trains each such wave in one graph over one pass of the
    cache after another. A trial comes to what it would come to alone.

    Killed at any moment, a tuner made with the same arguments goes on: trials
    that have ended stand, a wave goes on behind its last pass.

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
                for wave in _waves(trials, self._settings):
                    self._run_wave(wave)
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

    def _run_wave(self, trials: Sequence[Trial]) -> None:
        settings = [self._settings(trial) for trial in trials]
        model = self.hypermodel
        train, held_out = model.parts(settings[0].layers)
        heads = StackedHeads(
            model.task,
            train,
            settings,
            [model.total_steps(own) for own in settings],
            model.batches(train, settings[0].batch_size, 0).element_spec,
        )
        for number, (trial, own) in enumerate(
            zip(trials, settings, strict=True)
        ):
            if own.starting_trial:
                heads.set_weights(number, self._starting_weights(trial, own))
        identity = [
            [t.trial_id, dataclasses.asdict(own)]
            for t, own in zip(trials, settings, strict=True)
        ]
        state_path = self._wave_path(fileio.value_digest(identity))
        record = {
            "epoch": settings[0].first_epoch,
            "scores": [[] for _ in trials],
            "results": [None for _ in trials],
        }
        if state_path.exists() and _readable(state_path):
            record = load_state(state_path, heads.variables)
            for number, result in enumerate(record["results"]):
                if result is not None:
                    heads.stop(number)
        while heads.live.any():
            epoch = record["epoch"]
            losses = self._train_pass(heads, train, settings[0], epoch)
            record["epoch"] = epoch + 1
            self._end_pass(heads, held_out, settings, losses, record)
            if heads.live.any():
                save_state(state_path, heads.variables, record)
        self._report(trials, record["results"], heads)
        state_path.unlink(missing_ok=True)

    def _train_pass(self, heads, train, settings, epoch) -> np.ndarray:
        """One pass over the cache; gives the mean losses, `(heads,)`."""
        sums, rows, steps = 0.0, 0, 0
        batches = self.hypermodel.batches(train, settings.batch_size, epoch)
        for inputs, labels in batches:
            batch_losses = heads.train(inputs, labels)
            sums = sums + batch_losses * len(labels)
            rows, steps = rows + len(labels), steps + 1
            self._bar.advance(
                0,
                f"{heads.live.sum()} in training, pass {epoch + 1}, step "
                f"{steps:,}/{len(batches):,}, {self._best_note}",
            )
        return sums / rows

    def _end_pass(self, heads, held_out, settings, losses, record) -> None:
        """Scores the heads that want it, and stops those at their end."""
        patience, epochs = self.hypermodel.patience, record["epoch"]
        last = np.array([own.epochs <= epochs for own in settings])
        if not (heads.live & (last | (patience is not None))).any():
            return
        outputs, labels = [], []
        for inputs, batch_labels in self.hypermodel.scored_batches(held_out):
            outputs.append(heads.outputs(inputs))
            labels.append(batch_labels.numpy())
        outputs = np.concatenate(outputs, axis=1)
        labels = np.concatenate(labels)
        for number in np.flatnonzero(heads.live):
            score = held_out_score(
                self.hypermodel.task, outputs[number], labels
            )
            record["scores"][number].append(score)
            if last[number] or out_of_patience(
                record["scores"][number], patience
            ):
                record["results"][number] = {
                    self.hypermodel.objective.name: score,
                    "loss": _finite(losses[number]),
                    "epochs": epochs,
                }
                heads.stop(number)

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


def _waves(trials, settings_of):
    """Trials that share batches, as many at once as a wave may hold."""
    groups: dict[Any, list[tuple[Trial, int]]] = {}
    for trial in trials:
        own = settings_of(trial)
        groups.setdefault(own.group, []).append((trial, own.units))
    for members in groups.values():
        wave, units = [], 0
        for trial, width in members:
            if wave and units + width > _WAVE_UNITS:
                yield wave
                wave, units = [], 0
            wave.append(trial)
            units += width
        yield wave


def _readable(path: pathlib.Path) -> bool:
    """Whether a wave's state is whole; what is not is begun anew."""
    try:
        read_progress(path)
    except Exception:
        path.unlink()
        return False
    return True


def _finite(loss: float) -> float:
    """JSON has no number for a loss that is not finite."""
    return float(loss) if np.isfinite(loss) else float(np.finfo("f4").max)
