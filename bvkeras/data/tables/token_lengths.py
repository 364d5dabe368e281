"""How many tokens rows have."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bvkeras.tasks.own_settings import fitting_tokens

if TYPE_CHECKING:
    from bvkeras.encoders.tokenizer import Tokenizer

_DEFAULT_TOKENS = 128


def longest_input(
    max_tokens: int | None,
    lengths: np.ndarray | None,
    token_limit: Callable[[], int] | None,
) -> int:
    """The longest input of a task.

    Args:
        max_tokens: int, or None. What was asked for.
        lengths: int array, or None. Tokens of the rows.
        token_limit: callable, or None. Gives the longest that the encoder
            takes.

    Returns:
        `max_tokens`; without it what cuts at most one row in twenty, or 128
        without `lengths`, and no more than the limit.
    """
    if max_tokens is not None:
        return max_tokens
    chosen = _DEFAULT_TOKENS
    if lengths is not None:
        chosen = fitting_tokens(float(np.quantile(lengths, 0.95)))
    return chosen if token_limit is None else min(chosen, token_limit())


def token_lengths(
    tokenizer: "Tokenizer",
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
) -> np.ndarray:
    """Tokens of each row before any is cut, special ones counted.

    Args:
        tokenizer: Tokenizer, or what encodes texts as it does.
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
    lengths = np.array([len(ids) for ids in tokenizer.encode(texts_a)])
    if texts_b is not None:
        lengths += [len(ids) for ids in tokenizer.encode(texts_b)]
    num_special = tokenizer.special_tokens.count(1 if texts_b is None else 2)
    return lengths.astype(np.int64) + num_special
