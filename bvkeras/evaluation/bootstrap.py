"""How much of a score is chance: the bootstrap over groups of rows."""

from collections.abc import Sequence

import numpy as np

_SEED = 0


def bootstrap_error(
    values: np.ndarray, groups: Sequence[str], repeats: int = 2000
) -> float:
    """Standard error of a mean, by resampling whole groups.

    Rows of one group depend on each other: questions about one paragraph are
    easy or hard together. The groups are drawn with replacement, as many as
    there are, and the mean is taken over the rows of those drawn. Of the
    difference of two systems, give the differences row by row.

    Args:
        values: float array `(rows,)`.
        groups: sequence of str. The group of each row.
        repeats: int. Defaults to `2000`.

    Returns:
        float. Standard deviation of the means; from a seed of its own.
    """
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(numbers)
    sums = np.bincount(numbers, values)
    draws = np.random.default_rng(_SEED).multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), repeats
    )
    return float(np.std((draws @ sums) / (draws @ counts)))
