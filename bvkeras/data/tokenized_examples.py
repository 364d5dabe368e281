"""The class `TokenizedExamples`."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np

from bvkeras.encoders.tokenizer import pad_rows


@dataclasses.dataclass(frozen=True)
class TokenizedExamples:
    """Examples, or windows of them, as token ids, not yet padded.

    Attributes:
        rows: list of pairs of int32 arrays `(tokens,)`: token ids with [CLS]
            and [SEP], and segment ids, 1 in a second text.
        pad_id: int. The id that fills shorter rows of a batch.
        ids: sequence of str. One for each row, no two alike.
        labels: array. Classes int64 or scores float32 `(rows,)`; of a span
            task int64 `(rows, 2)`, the answer's first and last token.
        offsets: list of int32 arrays `(tokens, 2)`, or None. Where the tokens
            stand in the texts, as `Tokenizer.pack_offsets` gives it.
        contexts: int64 array `(rows,)`, or None. Of a span task: the first
            token of the context. The last is the one before the last [SEP].
    """

    rows: list[tuple[np.ndarray, np.ndarray]]
    pad_id: int
    ids: Sequence[str]
    labels: np.ndarray
    offsets: list[np.ndarray] | None = None
    contexts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """int64 array `(rows,)`: tokens of each row."""
        return np.array([len(ids) for ids, _ in self.rows], np.int64)

    def part(self, first: int, last: int) -> "TokenizedExamples":
        """The rows from `first` to before `last`."""
        place = slice(first, last)
        return dataclasses.replace(
            self,
            rows=self.rows[place],
            ids=self.ids[place],
            labels=self.labels[place],
            offsets=None if self.offsets is None else self.offsets[place],
            contexts=None if self.contexts is None else self.contexts[place],
        )

    def take(self, indices: Sequence[int]) -> "TokenizedExamples":
        """The rows at `indices`, with neither offsets nor contexts."""
        return TokenizedExamples(
            [self.rows[i] for i in indices],
            self.pad_id,
            [self.ids[i] for i in indices],
            self.labels[np.asarray(indices)],
        )

    def batch(self, indices: Iterable[int]) -> dict[str, np.ndarray]:
        """The rows at `indices`, padded to the longest of them.

        Returns:
            What `pad_rows` gives.
        """
        return pad_rows([self.rows[i] for i in indices], self.pad_id)
