"""KerasTuner's oracles, made to survive a kill at any moment."""

import contextlib
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from bvkeras import fileio

_SET_ASIDE = ".damaged"
_ENDED = ("COMPLETED", "FAILED")


class DurableOracle:
    """What `durable` adds to an oracle; comes first among its bases.

    Files are written whole or not at all, and a trial is written twice: in
    its own folder, as KerasTuner does, and in the oracle's file. What cannot
    be read is set aside with a warning and restored from the other one. After
    a kill every trial that had begun and not ended is run again, with its
    values; none is lost, and none is made twice.
    """

    _saves_put_off = 0

    def save(self):
        if self._saves_put_off:
            return
        state = {
            **self.get_state(),
            "trials": {name: t.get_state() for name, t in self.trials.items()},
        }
        fileio.write_text(self._get_oracle_fname(), json.dumps(state))

    def _save_trial(self, trial):
        if self._saves_put_off:
            return
        path = pathlib.Path(self._project_dir, f"trial_{trial.trial_id}")
        fileio.write_text(path / "trial.json", json.dumps(trial.get_state()))

    @contextlib.contextmanager
    def saved_once(self) -> Iterator[None]:
        """Puts off what a block writes to its end.

        Killed inside, the search is as it was before the block.
        """
        self._saves_put_off += 1
        try:
            yield
        finally:
            self._saves_put_off -= 1
        self.save()
        for trial in self.trials.values():
            path = pathlib.Path(self._project_dir, f"trial_{trial.trial_id}")
            text = json.dumps(trial.get_state())
            if self._written.get(trial.trial_id) != text:
                fileio.write_text(path / "trial.json", text)
                self._written[trial.trial_id] = text

    def reload(self):
        directory = pathlib.Path(self._project_dir)
        state = _read(pathlib.Path(self._get_oracle_fname()))
        states = state.pop("trials", {}) if state else {}
        for path in directory.glob("trial_*/trial.json"):
            found = _read(path)
            name = found.get("trial_id")
            # Either can be the younger one. A trial that has ended stays so.
            if name and states.get(name, found)["status"] not in _ENDED:
                states[name] = found
        self.trials = {
            name: Trial.from_state(states[name]) for name in sorted(states)
        }
        if state:
            state["ongoing_trials"] = {}
            self.set_state(state)
        else:
            self._set_state_from_trials()
        self._fill_gaps()
        ended = [t.trial_id for t in self.trials.values() if _has_ended(t)]
        self.end_order = [
            *(name for name in dict.fromkeys(self.end_order) if name in ended),
            *(name for name in ended if name not in self.end_order),
        ]
        self._retry_queue = [
            trial.trial_id
            for trial in reversed(self.trials.values())
            if not _has_ended(trial)
        ]

    @keras_tuner.synchronized
    def standing(self) -> tuple[int, float | None]:
        """Trials that have ended, and the best score of them."""
        best = self.get_best_trials(1)
        return len(self.end_order), best[0].score if best else None

    @keras_tuner.synchronized
    def release(self, prefix: str) -> int:
        """Has the trials of a worker that is gone run by another one.

        Args:
            prefix: str. How the ids begin under which it asked for trials.

        Returns:
            int. How many there were.
        """
        gone = [name for name in self.ongoing_trials if name.startswith(prefix)]
        for name in gone:
            self._retry_queue.append(self.ongoing_trials.pop(name).trial_id)
        self.tuner_ids = {
            name for name in self.tuner_ids if not name.startswith(prefix)
        }
        self.save()
        return len(gone)

    def _set_state_from_trials(self):
        """What can be known without the oracle's own file."""
        for trial in self.trials.values():
            self.hyperparameters.merge(trial.hyperparameters.space)
            self._record_values(trial)
        self.start_order = list(self.trials)
        # Behind every number that can have been used, or the same values
        # would be drawn again, and too many of those end a search.
        self._seed_state += len(self.trials) * len(self.hyperparameters.space)

    def _fill_gaps(self):
        """New values for trials of which nothing could be read.

        Oracles name a trial by how many there are: a gap would give a name
        twice.
        """
        numbers = {int(name): name for name in self.trials}
        for number in set(range(max(numbers, default=-1))) - set(numbers):
            width = len(numbers[max(numbers)])
            hyperparameters = self.hyperparameters.copy()
            hyperparameters.values = self._random_values() or {}
            trial = Trial(hyperparameters, trial_id=f"{number:0{width}d}")
            self._record_values(trial)
            self.trials[trial.trial_id] = trial
            self.start_order.append(trial.trial_id)
        self.trials = dict(sorted(self.trials.items()))


def durable(oracle: keras_tuner.Oracle) -> keras_tuner.Oracle:
    """Makes an oracle of any class a `DurableOracle` as well.

    Args:
        oracle: keras_tuner.Oracle. Changed in place: tuners and KerasTuner's
            server hold on to the object they are given.

    Returns:
        The same object.
    """
    kind = type(oracle)
    if not isinstance(oracle, DurableOracle):
        oracle.__class__ = type(
            f"Durable{kind.__name__}", (DurableOracle, kind), {}
        )
        oracle._written = {}
    return oracle


def _read(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object from a file; if it is damaged, the file is set aside."""
    if not path.exists():
        return {}
    try:
        value = fileio.read_json(path)
        if isinstance(value, dict):
            return value
        problem = "it holds no object"
    except ValueError as error:
        problem = str(error)
    aside = path.with_name(path.name + _SET_ASIDE)
    path.replace(aside)
    print(
        f"warning: {path} is damaged and set aside as {aside.name}: {problem}",
        file=sys.stderr,
    )
    return {}


def _has_ended(trial: Trial) -> bool:
    return trial.status in _ENDED
