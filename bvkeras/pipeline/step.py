"""What every step of a run is: the class `Step`."""

import abc
import pathlib

from bvkeras.pipeline.run_state import RunState


class Step(abc.ABC):
    """One step of a run: what it reads, what it writes, whether it is done.

    A step that was stopped goes on where it was, and one that is finished
    reads what it wrote. Either way it adds what it found to the run's state.

    Args:
        state: RunState.
        epochs: float. The stop point of fine-tuning it rests on; 0 is the
            encoder as it came. Defaults to `0`.
    """

    def __init__(self, state: RunState, epochs: float = 0.0):
        self.state = state
        self.epochs = epochs

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What it does, for people."""

    @property
    @abc.abstractmethod
    def inputs(self) -> list[pathlib.Path]:
        """What it reads of what earlier steps wrote."""

    @property
    @abc.abstractmethod
    def outputs(self) -> list[pathlib.Path]:
        """What it writes; the last of them is there when all is."""

    @abc.abstractmethod
    def perform(self) -> None:
        """Does what is not done yet.

        Raises:
            BvkerasError: something cannot be used, or was made with other
                settings.
        """

    @property
    def is_finished(self) -> bool:
        """Whether all it writes is there."""
        return all(path.exists() for path in self.outputs)

    def evaluated(self, directory: pathlib.Path) -> list[pathlib.Path]:
        """The record of each evaluation split in a folder of scores."""
        name = self.state.task.traits.score_file
        return [
            directory / name.format(split=split)
            for split in self.state.task.evaluation_splits
        ]
