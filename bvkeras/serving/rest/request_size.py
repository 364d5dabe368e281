"""How many tokens a request is for the encoder."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class RequestSize:
    """Tokens of each row of a request, in each pass through the encoder.

    Attributes:
        counts: int array `(passes, rows)`. Sequences a row is made of: 1, or
            the windows of its context.
        lengths: int array `(passes, rows)`. Tokens of the longest of them.
    """

    counts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of_lengths(cls, lengths: np.ndarray) -> "RequestSize":
        """The size of rows of one sequence each, in one pass.

        Args:
            lengths: int array `(rows,)`. Tokens of each row.
        """
        lengths = np.asarray(lengths)[np.newaxis]
        return cls(np.ones_like(lengths), lengths)

    @property
    def num_tokens(self) -> int:
        """Tokens computed, with each pass padded to its longest sequence."""
        return int((self.counts.sum(1) * self.lengths.max(1)).sum())

    @property
    def row_tokens(self) -> np.ndarray:
        """Tokens of each row alone, `(rows,)`."""
        return (self.counts * self.lengths).sum(0)

    def take(self, rows: np.ndarray) -> "RequestSize":
        """The size of some of the rows."""
        return RequestSize(self.counts[:, rows], self.lengths[:, rows])

    def beside(self, other: "RequestSize") -> "RequestSize":
        """The size of these rows and another's, computed together."""
        return RequestSize(
            np.concatenate([self.counts, other.counts], 1),
            np.concatenate([self.lengths, other.lengths], 1),
        )
