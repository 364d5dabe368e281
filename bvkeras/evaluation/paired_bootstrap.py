"""How much of the difference of two systems' scores is chance."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import scipy.stats

from bvkeras import fileio
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.predictions import read_predictions
from bvkeras.schema import NUMBER, OBJECT, record_of

_CONFIDENCE = 0.95
_SCHEMA = record_of(
    difference={
        **record_of(difference=NUMBER, low=NUMBER, high=NUMBER),
        "additionalProperties": False,
    },
    settings=OBJECT,
)


@dataclasses.dataclass(frozen=True)
class ScoreDifference:
    """The difference of two scores on the same examples.

    Attributes:
        difference: float. The second system's score less the first's; of
            several runs the mean of their differences.
        low: float. Lower end of the 95% interval.
        high: float. Upper end.
    """

    difference: float
    low: float
    high: float


def paired_difference(
    metric: str,
    labels: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    repeats: int = 1000,
    seed: int = 0,
) -> ScoreDifference:
    """The difference of two systems' scores, with its bootstrap interval.

    Examples are drawn with replacement, as many as there are, the same for
    both systems and all runs; the interval is that of the percentiles. It
    tells the noise of the examples; that of training shows between runs.

    Args:
        metric: str. As `bvkeras.evaluation.glue_metrics.compute_metrics`.
        labels: array `(rows,)`.
        first: sequence of arrays `(rows,)`. The first system's predictions,
            one array for each run (seed).
        second: sequence of as many arrays. The second system's.
        repeats: int. How often is drawn. Defaults to `1000`.
        seed: int. Seed of the draws.

    Raises:
        ArgumentError: there is no run, or not as many of both; what
            `compute_metrics` raises.

    Reference:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap",
        chapters 8 and 13.
    """
    if not first or len(first) != len(second):
        raise ArgumentError(
            f"second: received {len(second)} runs for {len(first)} of first; "
            "expected as many, at least 1"
        )
    labels = np.asarray(labels)

    def difference(rows: np.ndarray) -> float:
        scores = [
            [
                compute_metrics([metric], labels[rows], predictions[rows])[
                    metric
                ]
                for predictions in system
            ]
            for system in (first, second)
        ]
        return float(np.mean(scores[1]) - np.mean(scores[0]))

    rows = np.arange(len(labels))
    found = difference(rows)
    if len(labels) < 2:
        return ScoreDifference(found, found, found)
    interval = scipy.stats.bootstrap(
        (rows,),
        difference,
        n_resamples=repeats,
        confidence_level=_CONFIDENCE,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return ScoreDifference(found, float(interval.low), float(interval.high))


def measured_difference(
    metric: str,
    first: str | os.PathLike,
    second: str | os.PathLike,
    path: str | os.PathLike,
) -> ScoreDifference:
    """`paired_difference` of two predictions files, measured once.

    Args:
        metric: str. As `paired_difference`.
        first: str or path. Predictions of one system.
        second: str or path. Of another, the same examples in the same order.
        path: str or path. A JSON file; it is read if it is there and of these
            very predictions, and written otherwise.

    Raises:
        ArgumentError: as `paired_difference`, or other examples.
        DataError: a file is no predictions file.
        OSError: a file cannot be read or written.
    """
    path = pathlib.Path(path)
    settings = {
        "metric": metric,
        "predictions": [fileio.file_digest(file) for file in (first, second)],
    }
    if path.exists():
        record = fileio.read_json(path, _SCHEMA)
        if record["settings"] == settings:
            return ScoreDifference(**record["difference"])
    one, other = read_predictions(first), read_predictions(second)
    if not np.array_equal(one.ids, other.ids):
        raise ArgumentError(
            f"second: expected the examples of {first}, in the same order; "
            f"{second} has others"
        )
    found = paired_difference(
        metric, one.labels, [one.predictions], [other.predictions]
    )
    fileio.write_json(
        path, {"difference": dataclasses.asdict(found), "settings": settings}
    )
    return found
