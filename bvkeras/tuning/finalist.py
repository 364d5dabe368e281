"""Settings that go into the final round of a search."""

import dataclasses
import statistics

from bvkeras.tuning.head_settings import HeadSettings


@dataclasses.dataclass(frozen=True)
class Finalist:
    """Settings, and their scores on parts that did not choose them.

    Attributes:
        name: str. `"default"`, `"paper"`, or the name of the trial.
        settings: HeadSettings. What the head is trained with if it wins.
        scores: tuple of float, one a training. Empty in front of the round.
    """

    name: str
    settings: HeadSettings
    scores: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Mean of the scores: the best wins."""
        return statistics.fmean(self.scores)

    @property
    def deviation(self) -> float:
        """Standard deviation of the scores; 0 of one score."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0
