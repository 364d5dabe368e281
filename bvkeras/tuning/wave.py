"""Heads that share batches, trained side by side to their ends."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bvkeras.training.state import load_state, read_progress, save_state
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.held_out import held_out_score
from bvkeras.tuning.stacked_heads import StackedHeads

# What one wave may hold: more trains no faster, and takes memory.
_WAVE_UNITS = 1024


class Wave:
    """Trains heads of one `HeadSettings.group`, each as it would be alone.

    The state is written after every pass but the last: a wave made again
    with the same arguments goes on from there.

    Args:
        hypermodel: HeadHyperModel. Its rows, its patience.
        settings: sequence of HeadSettings of one `group`.
        state_path: path of the state, a file of this wave alone.
        show: called with a line about how far it is.

    Attributes:
        heads: StackedHeads. Those that start from a trial are given its
            weights in front of `run`.
    """

    def __init__(
        self,
        hypermodel: HeadHyperModel,
        settings: Sequence[HeadSettings],
        state_path: pathlib.Path,
        show: Callable[[str], None],
    ):
        self._model = hypermodel
        self._settings = list(settings)
        self._state_path = state_path
        self._show = show
        self._train, self._held_out = hypermodel.parts(settings[0].layers)
        spec = hypermodel.batches(
            self._train, settings[0].batch_size, 0
        ).element_spec
        steps = [hypermodel.total_steps(own) for own in settings]
        self.heads = StackedHeads(
            hypermodel.task,
            self._train,
            settings,
            steps,
            spec,
            hypermodel.scale,
        )

    def run(self) -> list[dict[str, Any]]:
        """Trains all heads that are not at their end, and scores them.

        Returns:
            list of dict, one a head, as `HeadHyperModel.fit` gives it.

        Raises:
            CacheError: a shard of the cache is damaged.
        """
        heads, path = self.heads, self._state_path
        record: dict[str, Any] = {
            "epoch": self._settings[0].first_epoch,
            "scores": [[] for _ in self._settings],
            "results": [None for _ in self._settings],
        }
        if path.exists() and _readable(path):
            record = load_state(path, heads.variables)
            for number, result in enumerate(record["results"]):
                if result is not None:
                    heads.stop(number)
        while heads.live.any():
            losses = self._train_pass(record["epoch"])
            record["epoch"] += 1
            self._end_pass(losses, record)
            if heads.live.any():
                save_state(path, heads.variables, record)
        return record["results"]

    def forget(self) -> None:
        """Removes the state, once the results are kept elsewhere."""
        self._state_path.unlink(missing_ok=True)

    def _train_pass(self, epoch: int) -> np.ndarray:
        """One pass over the cache; gives the mean losses, `(heads,)`."""
        sums = np.zeros(len(self._settings), np.float32)
        rows, steps = 0, 0
        batches = self._model.batches(
            self._train, self._settings[0].batch_size, epoch
        )
        for inputs, labels in batches:
            batch_losses = self.heads.train(inputs, labels)
            sums = sums + batch_losses * len(labels)
            rows, steps = rows + len(labels), steps + 1
            self._show(
                f"{self.heads.live.sum()} in training, pass {epoch + 1}, step "
                f"{steps:,}/{len(batches):,}"
            )
        return sums / rows

    def _end_pass(self, losses: np.ndarray, record: dict[str, Any]) -> None:
        """Scores the heads that want it, and stops those at their end."""
        heads, epochs = self.heads, record["epoch"]
        patience = self._model.patience
        last = np.array([own.epochs <= epochs for own in self._settings])
        if not (heads.live & (last | (patience is not None))).any():
            return
        found, found_labels = [], []
        for inputs, batch_labels in self._model.scored_batches(self._held_out):
            found.append(heads.outputs(inputs))
            found_labels.append(batch_labels.numpy())
        outputs = self._model.scale.restored(np.concatenate(found, axis=1))
        labels = np.concatenate(found_labels)
        for number in np.flatnonzero(heads.live).tolist():
            score = held_out_score(self._model.task, outputs[number], labels)
            record["scores"][number].append(score)
            if last[number] or self._model.out_of_patience(
                record["scores"][number]
            ):
                record["results"][number] = {
                    self._model.objective.name: score,
                    "loss": _finite(losses[number]),
                    "epochs": epochs,
                }
                heads.stop(number)


def split_in_waves(settings: Sequence[HeadSettings]) -> Iterator[list[int]]:
    """Heads that share batches, as many at once as a wave may hold.

    Args:
        settings: sequence of HeadSettings.

    Yields:
        list of int: places in `settings`, together each once.
    """
    groups: dict[Any, list[int]] = {}
    for place, own in enumerate(settings):
        groups.setdefault(own.group, []).append(place)
    for members in groups.values():
        wave: list[int] = []
        units = 0
        for place in members:
            width = settings[place].units
            if wave and units + width > _WAVE_UNITS:
                yield wave
                wave, units = [], 0
            wave.append(place)
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
