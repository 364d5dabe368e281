"""How many tokens rows have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bvkeras.encoders.word_piece import WordPiece


def token_lengths(
    tokenizer: "WordPiece",
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
) -> np.ndarray:
    """Tokens of each row before any is cut, special ones counted.

    Args:
        tokenizer: WordPiece, or what encodes texts as it does.
        texts_a: sequence of str. First texts.
        texts_b: sequence of str, or None. Second texts.

    Returns:
        int64 array of shape `(rows,)`.

    Example:

    >>> describe_table(
    ...     files, "text", "topic",
    ...     token_lengths=functools.partial(token_lengths, encoder.tokenizer),
    ... )
    """
    lengths = np.array([len(ids) + 2 for ids in tokenizer.encode(texts_a)])
    if texts_b is not None:
        lengths += [len(ids) + 1 for ids in tokenizer.encode(texts_b)]
    return lengths.astype(np.int64)
