"""Examples on disk as token ids: the class `StreamedTokens`."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bvkeras.data.streamed_examples import StreamedExamples

_ROWS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedTokens(TokenizedExamples):
    """Tokenized examples of which the lengths alone are in memory.

    A first pass over the texts gives the lengths; the rows of a batch or a
    shard are tokenized when they are asked for.

    Attributes:
        examples: StreamedExamples.
        tokenizer: Tokenizer.
        max_tokens: int. Longer examples are cut.
        with_offsets: bool. Whether parts have offsets.
        apart: bool. Whether a row has both texts of a pair, each by itself.
        num_tokens: int64 array `(rows,)`. Tokens of each row.
    """

    examples: "StreamedExamples | None" = None
    tokenizer: Tokenizer | None = None
    max_tokens: int = 0
    with_offsets: bool = False
    apart: bool = False
    num_tokens: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(0, np.int64)
    )

    @classmethod
    def of(
        cls,
        examples: "StreamedExamples",
        tokenizer: Tokenizer,
        max_tokens: int,
        offsets: bool,
        apart: bool,
    ) -> "StreamedTokens":
        """Goes over the texts once.

        Args:
            examples: StreamedExamples.
            tokenizer: Tokenizer.
            max_tokens: int.
            offsets: bool. Whether parts shall have offsets.
            apart: bool. As `Examples.tokenized`.

        Raises:
            ArgumentError: `max_tokens` leaves no room for text.
        """
        lengths = np.zeros(len(examples), np.int64)
        for first in range(0, len(examples), _ROWS_AT_ONCE):
            last = min(first + _ROWS_AT_ONCE, len(examples))
            part = examples.part(first, last)
            tokens = part.tokenized(tokenizer, max_tokens, False, apart)
            lengths[first:last] = tokens.lengths
        return cls(
            rows=[],
            pad_id=tokenizer.pad_id,
            ids=examples.ids,
            labels=examples.labels,
            examples=examples,
            tokenizer=tokenizer,
            max_tokens=max_tokens,
            with_offsets=offsets,
            apart=apart,
            num_tokens=lengths,
        )

    def __len__(self) -> int:
        return len(self.num_tokens)

    @property
    def lengths(self) -> np.ndarray:  # type: ignore[override]
        """int64 array `(rows,)`: tokens of each row."""
        return self.num_tokens

    def part(self, first: int, last: int) -> TokenizedExamples:
        """The rows from `first` to before `last`, in memory."""
        assert self.examples is not None
        assert self.tokenizer is not None
        return self.examples.part(first, last).tokenized(
            self.tokenizer, self.max_tokens, self.with_offsets, self.apart
        )

    def batch(self, indices: Iterable[int]) -> dict[str, np.ndarray]:
        """The rows at `indices`, padded to the longest of them."""
        assert self.examples is not None
        assert self.tokenizer is not None
        chosen = self.examples.take(indices)
        rows = range(len(chosen))
        return (
            chosen.part(0, len(chosen))
            .tokenized(self.tokenizer, self.max_tokens, False, self.apart)
            .batch(rows)
        )
