"""Which special tokens stand around texts in an encoder's input."""

from typing import NamedTuple


class SpecialTokens(NamedTuple):
    """One token in front, one after, and some between two texts.

    BERT has `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`, RoBERTa `<s> a </s>`
    and `<s> a </s></s> b </s>`.

    Attributes:
        cls_id: int. The token in front.
        between: tuple of int. The tokens between two texts.
        sep_id: int. The token after the last text.
        segments: bool. Whether the encoder is told which of two texts a token
            is of. Defaults to `True`.
    """

    cls_id: int
    between: tuple[int, ...]
    sep_id: int
    segments: bool = True

    def count(self, num_texts: int) -> int:
        """Special tokens of a row of one text, or of two."""
        return 2 if num_texts == 1 else 2 + len(self.between)
