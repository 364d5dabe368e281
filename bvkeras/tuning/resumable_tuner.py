"""The tuner `ResumableTuner`."""

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras_tuner

from bvkeras import fileio
from bvkeras.errors import RunError
from bvkeras.progress import Bar, progress_bar
from bvkeras.tuning.durable_oracle import DurableOracle, durable
from bvkeras.tuning.outcome import TRIALS_DIRECTORY

_CHECKPOINT_FILE = "checkpoint.weights.h5"
_PROJECT = TRIALS_DIRECTORY


class ResumableTuner(keras_tuner.Tuner):
    """Runs an oracle's trials one by one, and goes on after a kill.

    A trial that was under way is run again from its start; those that have
    ended stand. Only the best trials keep their weights.

    Args:
        hypermodel: HeadHyperModel or EncoderHyperModel.
        oracle: keras_tuner.Oracle, with the hypermodel's objective.
        directory: str or path. KerasTuner's files go into its folder
            `trials`.
        keep: int. Weights are kept of so many trials, the best; while it
            searches with the Hyperband oracle, which has trials go on where
            others ended, of all. Defaults to `3`.

    Example:
        ```python
        model = EncoderHyperModel(task, "bert_base_en_uncased", examples)
        oracle = keras_tuner.oracles.RandomSearchOracle(
            model.objective, max_trials=100
        )
        ResumableTuner(model, oracle, "runs/tuning").search()
        ```
    """

    def __init__(
        self,
        hypermodel: Any,
        oracle: keras_tuner.Oracle,
        directory: str | os.PathLike,
        *,
        keep: int = 3,
    ):
        self.keep = keep
        self._keeps_all = isinstance(
            oracle, keras_tuner.oracles.HyperbandOracle
        )
        oracle = durable(oracle)
        oracle.verbose = 0
        project = pathlib.Path(directory, _PROJECT)
        if any(project.glob("trial_*")) or (project / "oracle.json").exists():
            # KerasTuner reloads only where it finds its own file, which it
            # writes later than the others.
            name = os.environ.get("KERASTUNER_TUNER_ID", "tuner0")
            fileio.write_json(project / f"{name}.json", {})
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(
                oracle=oracle,
                hypermodel=hypermodel,
                directory=str(directory),
                project_name=_PROJECT,
            )

    def reload(self):
        super().reload()
        if not self._is_worker():
            self._populate_initial_space()

    def _populate_initial_space(self):
        """Declares the space; no model is built for that."""
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)

    def search(self) -> None:
        """Runs trials until the oracle has no more.

        Raises:
            RunError: several trials failed one after the other.
        """
        with self._begun(), contextlib.redirect_stdout(io.StringIO()):
            try:
                super().search()
            except RuntimeError as error:
                # The last line names the error of the last trial.
                reason = str(error).strip().splitlines()[-1]
                raise RunError(
                    f"{self.directory}: one trial after the other failed: "
                    f"{reason}"
                ) from error
        self._prune()

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        if not self._keeps_all:
            self._prune()
        self._show_ended(1)

    def load_model(self, trial):
        model = self.hypermodel.build(trial.hyperparameters)
        model.load_weights(self._checkpoint(trial.trial_id))
        self.hypermodel.fold_targets(model)
        return model

    @contextlib.contextmanager
    def _begun(self) -> Iterator[None]:
        """Tidies up after a killed process, and shows a progress bar."""
        for directory in pathlib.Path(self.project_dir).glob("trial_*"):
            fileio.remove_leftovers(directory)
        done = 0
        if isinstance(self.oracle, DurableOracle):
            done = len(self.oracle.end_order)
        total = number_of_trials(self.oracle)
        with progress_bar("tune", total, "trials", done=done) as self._bar:
            yield

    _bar: Bar
    _best_note = "none ended yet"

    def _show_ended(self, count: int) -> None:
        best = self.oracle.get_best_trials(1)[0].score
        if best is not None:
            metric = self.hypermodel.task.metrics[0]
            self._best_note = f"best {metric} {best:.4f}"
        self._bar.advance(count, self._best_note)

    def _kept(self) -> set[str]:
        best = self.oracle.get_best_trials(self.keep)
        return {trial.trial_id for trial in best}

    def _prune(self) -> None:
        """Removes the weights of trials that are not among the best."""
        kept = self._kept()
        for path in pathlib.Path(self.project_dir).glob(
            f"trial_*/{_CHECKPOINT_FILE}"
        ):
            if path.parent.name.removeprefix("trial_") not in kept:
                path.unlink(missing_ok=True)

    def _checkpoint(self, trial_id: str) -> pathlib.Path:
        return pathlib.Path(
            self.project_dir, f"trial_{trial_id}", _CHECKPOINT_FILE
        )

    def _saved_once(self):
        if isinstance(self.oracle, DurableOracle):
            return self.oracle.saved_once()
        return contextlib.nullcontext()


def number_of_trials(oracle) -> int:
    """How many trials a whole search has."""
    if oracle.max_trials is not None:
        return oracle.max_trials
    if not isinstance(oracle, keras_tuner.oracles.HyperbandOracle):
        return 0
    rounds = (
        oracle._get_size(bracket, number)
        for bracket in range(oracle._get_num_brackets())
        for number in range(oracle._get_num_rounds(bracket))
    )
    return sum(rounds) * oracle.hyperband_iterations
