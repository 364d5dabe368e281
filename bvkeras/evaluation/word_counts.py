"""How many words a text has, counted in one of two ways."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from bvkeras.errors import ArgumentError

# What blanks part; or letters without anything between them, as the authors
# of the paper counted: no numbers, no signs.
_WORDS: dict[str, Callable[[str], list[str]]] = {
    "tokens": re.compile(r"\S+").findall,
    "letters": re.compile(r"[^\W\d_]+").findall,
}
WAYS = tuple(_WORDS)


def count_words(texts: Sequence[str], way: str = "tokens") -> np.ndarray:
    """How many words each text has.

    Args:
        texts: sequence of str.
        way: str. `"tokens"`: what blanks part is a word. `"letters"`: letters
            that stand together are, `don't` is two, `1999` none. Defaults to
            `"tokens"`.

    Returns:
        int array `(texts,)`.

    Raises:
        ArgumentError: `way` is neither.
    """
    if way not in _WORDS:
        raise ArgumentError(
            f"words: expected one of {', '.join(WAYS)}, got {way!r}"
        )
    return np.array([len(_WORDS[way](text)) for text in texts], int)
