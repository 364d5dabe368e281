"""A sentence as words with tags: the class `TaggedSentence`."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class TaggedSentence:
    """Words with a tag each.

    Attributes:
        id: str.
        words: tuple of n str.
        tags: tuple of n str, as `bvkeras.tasks.TagScheme.to_learned` gives
            them.
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words with a blank between."""
        return " ".join(self.words)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """int64 array `(n,)`: first character of each word in `text`."""
        return word_starts(self.words)


def word_starts(words: tuple[str, ...]) -> np.ndarray:
    """First characters of words that stand with a blank between.

    Args:
        words: tuple of n str.

    Returns:
        int64 array `(n,)`, Unicode code points.
    """
    lengths = np.array([len(word) + 1 for word in words], np.int64)
    return np.cumsum(lengths) - lengths
