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
    return float(np.std(_means(values, groups, repeats)))


def bootstrap_interval(
    values: np.ndarray, groups: Sequence[str], repeats: int = 2000
) -> tuple[float, float]:
    """95% interval of a mean, by resampling whole groups.

    The 2.5th and the 97.5th percentile of the means that `bootstrap_error`
    draws. With few groups it is too narrow; with one it is a point.

    Args:
        values: float array `(rows,)`.
        groups: sequence of str. The group of each row.
        repeats: int. Defaults to `2000`.

    Returns:
        Two floats, the lower end first; from a seed of its own.

    Reference:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
        section 13.3.
    """
    low, high = np.percentile(_means(values, groups, repeats), (2.5, 97.5))
    return float(low), float(high)


def _means(values, groups, repeats):
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(numbers)
    sums = np.bincount(numbers, values)
    draws = np.random.default_rng(_SEED).multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), repeats
    )
    return (draws @ sums) / (draws @ counts)
