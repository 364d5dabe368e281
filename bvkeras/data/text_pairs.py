"""The distinct texts of pairs: the class `TextPairs`."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bvkeras.data.examples import Examples

if TYPE_CHECKING:
    from bvkeras.data.tokenized_examples import TokenizedExamples
    from bvkeras.encoders.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class TextPairs:
    """Each text of some pairs once, and which two make a pair.

    Attributes:
        texts: tuple of str. Each once, in the order of their first use.
        first: int64 array `(pairs,)`. Place in `texts` of the first text.
        second: int64 array `(pairs,)`. Place of the second.
        label_shape: tuple of int. Shape of a pair's label.
        label_dtype: numpy dtype of labels.
    """

    texts: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    label_shape: tuple[int, ...]
    label_dtype: np.dtype

    @classmethod
    def of(cls, examples: Examples) -> "TextPairs":
        """The texts of a split's pairs.

        Args:
            examples: Examples. Of two texts each.
        """
        assert examples.texts_b is not None
        places: dict[str, int] = {}
        first, second = (
            np.array([places.setdefault(t, len(places)) for t in texts], int)
            for texts in (examples.texts_a, examples.texts_b)
        )
        labels = examples.labels
        return cls(tuple(places), first, second, labels.shape[1:], labels.dtype)

    def tokenized(
        self, tokenizer: "Tokenizer", max_tokens: int, offsets: bool
    ) -> "TokenizedExamples":
        """Each text as a row of tokens, with a label of zeros.

        Args:
            tokenizer: Tokenizer.
            max_tokens: int. Longer texts are cut.
            offsets: bool. Whether to keep where tokens stand in the texts.

        Raises:
            ArgumentError: `max_tokens` leaves no room for text.
        """
        from bvkeras.data.tokenized_examples import TokenizedExamples

        shape = (len(self.texts), *self.label_shape)
        return TokenizedExamples(
            tokenizer.pack(self.texts, None, max_tokens),
            tokenizer.pad_id,
            [str(place) for place in range(len(self.texts))],
            np.zeros(shape, self.label_dtype),
            tokenizer.pack_offsets(self.texts, None, max_tokens)
            if offsets
            else None,
        )
