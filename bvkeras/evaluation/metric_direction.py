"""Which way a metric points: what is better, and what is worse than all."""

import numpy as np

LOWER_IS_BETTER = ("mae", "rmse")
# Metrics without a bound on their worse side. The others lie above -1.
_UNBOUNDED = (*LOWER_IS_BETTER, "r2")
_BELOW_EVERY_SCORE = -2.0


def goodness(metric: str, score: float) -> float:
    """A number that is the higher, the better the score is.

    Args:
        metric: str. As `bvkeras.evaluation.glue_metrics.compute_metrics`.
        score: float. The score by it.
    """
    return -score if metric in LOWER_IS_BETTER else score


def diverged_score(metric: str) -> float:
    """The score of a model whose outputs are not numbers.

    Worse than what any model with numbers can have, so that it ranks last,
    and finite, so that JSON can hold it.

    Args:
        metric: str. As `bvkeras.evaluation.glue_metrics.compute_metrics`.
    """
    worst = _BELOW_EVERY_SCORE
    if metric in _UNBOUNDED:
        worst = float(np.finfo(np.float32).min)
    return goodness(metric, worst)
