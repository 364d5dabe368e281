"""Candidates take turns; ratios are those of one turn."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable

import tensorflow as tf

# Threads that a candidate leaves spinning are asleep after this, and after a
# call of the next that is not timed.
_PAUSE = 0.002


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one candidate in each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the seconds."""
        return statistics.median(self.seconds)

    def faster_than(self, other: "Timing") -> tuple[float, float]:
        """Median and least of the rounds' ratios, the other's by this."""
        ratios = [
            theirs / own
            for theirs, own in zip(other.seconds, self.seconds, strict=True)
        ]
        return statistics.median(ratios), min(ratios)


def take_turns(
    candidates: dict[str, Callable], rounds: int, calls: int = 1
) -> dict[str, Timing]:
    """Times each candidate once a round.

    Args:
        candidates: dict. Functions of nothing, by name.
        rounds: int. One more comes first, to compile.
        calls: int. Calls that are timed as one; a GPU, which works while the
            next is launched, wants more than one.
    """
    seconds = {name: [] for name in candidates}
    for number in range(-1, rounds):
        for name, candidate in candidates.items():
            time.sleep(_PAUSE)
            _wait_for(candidate())
            began = time.perf_counter()
            for _ in range(calls):
                results = candidate()
            _wait_for(results)
            if number >= 0:
                seconds[name].append((time.perf_counter() - began) / calls)
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}


def fastest(timings: dict[str, Timing], names: Iterable[str]) -> str:
    """Which of `names` has the least median."""
    return min(names, key=lambda name: timings[name].median)


def _wait_for(results):
    """A GPU's results are there when they can be read."""
    for tensor in tf.nest.flatten(results):
        tensor.numpy() if tf.is_tensor(tensor) else tensor.cpu()
