"""What an extraction will write, known before the encoder runs."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bvkeras.cache.format import DTYPES, token_bytes

# Framing, names and lengths of a record's fields, index, length and label.
_RECORD_BYTES = 114
_DTYPE_BYTES = {"int8": 20}
# Protocol buffers write a number in 1 byte for each 7 bits, -1 in 10. Most
# word pieces take 2, most characters 1; [CLS] and [SEP] stand for the rest.
_EXTRA_BYTES = {"token_ids": (2, 19), "offsets": (2, 53)}


@dataclasses.dataclass(frozen=True)
class ExtractionPlan:
    """How large a cache will be.

    The sizes are those of the shards, right to 2% and 1 kB: exact but for
    the bytes that the numbers in `token_ids` and `offsets` take.

    Attributes:
        examples: int. Examples in the split.
        tokens: int. Valid tokens in all of them.
        example_bytes: dict from dtype to int64 array `(examples,)`. What each
            example takes.
    """

    examples: int
    tokens: int
    example_bytes: dict[str, np.ndarray]

    @classmethod
    def of(
        cls,
        lengths: np.ndarray,
        ids: Sequence[str],
        num_layers: int,
        hidden_dim: int,
        extras: Sequence[str] = (),
    ) -> "ExtractionPlan":
        """Plans a cache from what is known of its examples.

        Args:
            lengths: int array `(examples,)`. Tokens of each example.
            ids: sequence of str. Their ids.
            num_layers: int. Hidden states a token.
            hidden_dim: int. Features a hidden state.
            extras: sequence of str. Of `format.EXTRAS`.
        """
        id_bytes = np.array([len(id_.encode("utf-8")) for id_ in ids], np.int64)
        fixed = id_bytes + _RECORD_BYTES
        for name in extras:
            each, once = _EXTRA_BYTES[name]
            fixed += lengths * each + once
        sizes = {
            dtype: fixed
            + _DTYPE_BYTES.get(dtype, 0)
            + lengths * token_bytes(dtype, num_layers, hidden_dim)
            for dtype in DTYPES
        }
        return cls(len(lengths), int(lengths.sum()), sizes)

    @property
    def num_bytes(self) -> dict[str, int]:
        """Size of the shards in bytes, by dtype."""
        return {
            dtype: int(sizes.sum())
            for dtype, sizes in self.example_bytes.items()
        }
