"""KerasTuner's oracles, made to survive a kill at any moment."""

import contextlib
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from bvkeras import fileio
from bvkeras.printable import one_line, say
from bvkeras.schema import (
    COUNT,
    OBJECT,
    TEXT,
    Schema,
    list_of,
    record_of,
    table_of,
)

_SET_ASIDE = ".damaged"
_ENDED = ("COMPLETED", "FAILED")
_SPACE = record_of(space=list_of(OBJECT), values=OBJECT)
_TRIAL = record_of(
    trial_id={"type": "string", "pattern": "^[0-9]{1,6}$"},
    hyperparameters=_SPACE,
    metrics=OBJECT,
    score={},
    best_step={"type": ["integer", "null"]},
    status={"enum": ["RUNNING", "IDLE", "INVALID", "STOPPED", *_ENDED]},
    message={"type": ["string", "null"]},
)
_ORACLE = record_of(
    trials=table_of(_TRIAL),
    ongoing_trials=OBJECT,
    hyperparameters=_SPACE,
    start_order=list_of(TEXT),
    end_order=list_of(TEXT),
    run_times=table_of(COUNT),
    retry_queue=list_of(TEXT),
    seed=COUNT,
    seed_state=COUNT,
    tried_so_far=list_of(TEXT),
    id_to_hash=table_of({"type": ["string", "null"]}),
    display=OBJECT,
)
# What KerasTuner raises of a state that has the right fields and is none.
_UNUSABLE = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RuntimeError),
)


# Mixed into an oracle of any class, whose attributes it has then.
_Oracle: Any = keras_tuner.Oracle if TYPE_CHECKING else object


class DurableOracle(_Oracle):
    """What `durable` adds to an oracle; comes first among its bases.

    Files are written whole or not at all, and a trial is written twice: in
    its own folder, as KerasTuner does, and in the oracle's file. What cannot
    be read is set aside with a warning and restored from the other one. After
    a kill every trial that had begun and not ended is run again, with its
    values; none is lost, and none is made twice.
    """

    _saves_put_off = 0
    _written: dict[str, str]
    tuner_ids: set[str]

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
        empty = self.get_state()
        path = pathlib.Path(self._get_oracle_fname())
        state = _read(path, _ORACLE, self._take)
        if not state:
            self._take({**empty, "trials": {}, "ongoing_trials": {}})
        trials = self.trials
        for path in directory.glob("trial_*/trial.json"):
            found = _read(path, _TRIAL, lambda found, p=path: _trial(found, p))
            name = found.get("trial_id")
            # Either can be the younger one. A trial that has ended stays so.
            if name and not (name in trials and _has_ended(trials[name])):
                trials[name] = _trial(found, path)
        self.trials = dict(sorted(trials.items()))
        if not state:
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

    def _take(self, state: dict[str, Any]) -> None:
        """Takes over what the oracle's own file holds."""
        trials = {}
        for name, found in state["trials"].items():
            trials[name] = _trial(found)
            if trials[name].trial_id != name:
                raise ValueError(f"trial {name!r} is called {found!r:.40}")
        self.trials = trials
        self.set_state({**state, "ongoing_trials": {}})

    def _set_state_from_trials(self):
        """What can be known without the oracle's own file."""
        for trial in self.trials.values():
            self.hyperparameters.merge(trial.hyperparameters.space)
            self._record_values(trial)
        self.start_order = list(self.trials)
        # After every number that can have been used, or the same values
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


def _read(
    path: pathlib.Path, schema: Schema, use: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """A JSON object from a file; if it is damaged, the file is set aside.

    Args:
        path: path.
        schema: mapping. JSON Schema of the object.
        use: callable. Raises one of `_UNUSABLE` where the object makes no
            sense.
    """
    if not path.exists():
        return {}
    try:
        value = fileio.read_json(path, schema)
        use(value)
        return value
    except _UNUSABLE as error:
        problem = one_line(error).removeprefix(f"{path}: ")
    aside = path.with_name(path.name + _SET_ASIDE)
    path.replace(aside)
    say(
        f"warning: {path} is damaged and set aside as {aside.name}: {problem}",
        file=sys.stderr,
    )
    return {}


def _trial(state: dict[str, Any], path: pathlib.Path | None = None) -> Trial:
    """A trial from its state.

    Args:
        state: dict. Has the shape of `_TRIAL`.
        path: path. The trial's own file, if it is from there.

    Raises:
        One of `_UNUSABLE`: its values are of no such setting, or its scores
        no numbers.
    """
    if path is not None and path.parent.name != f"trial_{state['trial_id']}":
        raise ValueError(f"it is of trial {state['trial_id']}")
    trial = Trial.from_state(state)
    values = trial.hyperparameters.values
    for setting in trial.hyperparameters.space:
        if setting.conditions:
            continue
        found, usual = values[setting.name], setting.default
        if not _are_alike(found, usual):
            raise ValueError(f"{setting.name} is {found!r}")
    numbers = [] if trial.score is None else [trial.score]
    for name in trial.metrics.metrics:
        numbers += filter(None, [trial.metrics.get_best_value(name)])
    if any(type(number) not in (int, float) for number in map(_plain, numbers)):
        raise ValueError("a score is no number")
    return trial


def _are_alike(value: Any, other: Any) -> bool:
    kinds = [
        float if type(one) in (int, float) else type(one)
        for one in (value, other)
    ]
    return kinds[0] is kinds[1]


def _plain(number: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return number.item() if isinstance(number, np.generic) else number


def _has_ended(trial: Trial) -> bool:
    return trial.status in _ENDED
