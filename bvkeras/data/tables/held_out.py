"""Which training rows are held out for validation."""

import hashlib
import math
from collections.abc import Hashable, Sequence

import numpy as np

_QUANTILES = 10
_ROWS_A_QUANTILE = 5
# With fewer different texts a class may be left without a validation row.
_FEWEST_TEXTS = 4


def text_keys(texts: Sequence[Sequence[str]]) -> list[bytes]:
    """What is alike for rows with the same text, or pair of texts.

    Case, and how many blanks and of which kind, do not count.

    Args:
        texts: sequence of one or two columns of n str.

    Returns:
        list of n bytes.
    """
    columns = [map(_key, column) for column in texts]
    return [b"".join(keys) for keys in zip(*columns, strict=True)]


def _key(text):
    # A digest is far smaller than most texts, and there may be many.
    plain = " ".join(text.casefold().split())
    return hashlib.blake2b(plain.encode("utf-8"), digest_size=16).digest()


def score_classes(scores: np.ndarray) -> np.ndarray:
    """Tenths of scores by their order, or fewer parts of fewer rows.

    Args:
        scores: array of shape `(n,)`.

    Returns:
        int64 array of shape `(n,)`; equal scores have the same part.
    """
    parts = max(1, min(_QUANTILES, len(scores) // _ROWS_A_QUANTILE))
    borders = np.quantile(scores, np.arange(1, parts) / parts)
    return np.searchsorted(borders, scores, side="right")


def choose_held_out(
    keys: Sequence[Hashable], classes: np.ndarray, share: float, seed: int
) -> np.ndarray:
    """Chooses rows to hold out: a share of each class, no text on both sides.

    Rows with one key go to one side together. The rarest class among a key's
    rows decides with which class it is dealt. No class loses its last row in
    training; a class with four different texts or more has one held out.

    Args:
        keys: sequence of n keys, as `text_keys` gives them.
        classes: int array of shape `(n,)`.
        share: float in (0, 1). Of the rows, about.
        seed: int. Seed of the choice.

    Returns:
        bool array of shape `(n,)`, True for rows to hold out. All False where
        there are too few different texts.
    """
    numbers: dict[Hashable, int] = {}
    groups = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    counts = np.bincount(classes)
    by_rarity = np.argsort(-counts[classes], kind="stable")
    dealt_as = np.zeros(len(numbers), dtype=np.int64)
    # The last assignment stands: the rarest class.
    dealt_as[groups[by_rarity]] = classes[by_rarity]
    sizes = np.bincount(groups)
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(numbers), dtype=bool)
    for number in np.unique(dealt_as):
        members = random.permutation(np.flatnonzero(dealt_as == number))
        wanted = math.floor(share * sizes[members].sum() + 0.5)
        if len(members) >= _FEWEST_TEXTS:
            wanted = max(1, wanted)
        before = np.cumsum(sizes[members]) - sizes[members]
        taken = before[:-1] < wanted
        chosen[members[:-1][taken]] = True
    for number in np.unique(classes):
        of_class = np.unique(groups[classes == number])
        if chosen[of_class].all():
            chosen[of_class] = False
    return chosen[groups]
