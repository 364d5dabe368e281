"""How a search ended: with fewer trials than asked for, or with none of use."""

import pathlib
import shutil
import sys
from collections.abc import Sequence

from bvkeras.errors import DivergedError, RunError
from bvkeras.evaluation.metric_direction import diverged_score
from bvkeras.printable import say
from bvkeras.tuning.result import TrialResult, best_results

SETTINGS_FILE = "settings.json"
SECONDS_FILE = "seconds.json"
TRIALS_DIRECTORY = "trials"


def possible_trials(trials: int, size: float, oracle: str) -> int:
    """How many trials a space allows, and says so if they are fewer.

    Args:
        trials: int. How many are asked for.
        size: float. How many settings the space has.
        oracle: str. Its name; Hyperband trains some settings again, for more
            passes.
    """
    if trials <= size or oracle == "hyperband":
        return trials
    say(
        f"warning: trials: the space has {size:,} different settings, so "
        f"there will be no more trials than that, not {trials:,}",
        file=sys.stderr,
    )
    return int(size)


def ranked_trials(
    results: Sequence[TrialResult],
    metric: str,
    directory: pathlib.Path,
    expected: int,
) -> list[TrialResult]:
    """The trials of a search that is over, the best first.

    Args:
        results: sequence of TrialResult. All that ended.
        metric: str. What they are scored by.
        directory: path. The search's.
        expected: int. How many there should be.

    Raises:
        DivergedError: none came to numbers. `directory` is then free for a
            search with other settings.
        RunError: none succeeded.
    """
    ranked = best_results(results, metric)
    if not ranked:
        raise RunError(f"{directory}: no trial of {len(results)} succeeded")
    if all(one.score == diverged_score(metric) for one in ranked):
        shutil.rmtree(directory / TRIALS_DIRECTORY, ignore_errors=True)
        for name in (SETTINGS_FILE, SECONDS_FILE):
            (directory / name).unlink(missing_ok=True)
        raise DivergedError(
            f"learning_rate: all of {len(ranked)} trials diverged; try lower "
            "rates"
        )
    if len(results) < expected:
        say(
            f"warning: trials: no further settings were found that had not "
            f"been tried: {len(results):,} trials, not {expected:,}",
            file=sys.stderr,
        )
    return ranked
