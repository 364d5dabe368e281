"""Hidden states of a split, wherever they are: the class `StatesSource`."""

import abc
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np


class StatesSource(abc.ABC):
    """Hidden states of the examples of a split, in their order.

    Attributes:
        name: str. Where they are, for messages.
        files: list of path. All files that decide them.
        lengths: int64 array `(examples,)`. Tokens of each example.
        width: int, or None. Tokens that examples are padded to.
        layer_names: tuple of str. A name for each hidden state of a token.
        hidden_dim: int. Features of a hidden state.
        dtype: str. Type of the values, as NumPy or ml_dtypes calls it.
    """

    name: str
    files: list[pathlib.Path]
    lengths: np.ndarray
    width: int | None
    layer_names: tuple[str, ...]
    hidden_dim: int
    dtype: str

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def num_layers(self) -> int:
        """Hidden states a token."""
        return len(self.layer_names)

    @abc.abstractmethod
    def read(self, first: int = 0) -> Iterator[np.ndarray]:
        """Hidden states `(tokens, layers, features)`, example by example.

        Args:
            first: int. The first example wanted. Defaults to `0`.

        Raises:
            DataError: a file is damaged.
        """

    @abc.abstractmethod
    def where(self, row: int) -> str:
        """The file, and the row in it, of an example."""

    @abc.abstractmethod
    def column(self, *names: str) -> Any:
        """What else is there of each example: labels, or ids.

        Args:
            *names: str. What it may be called.

        Returns:
            list or array, one a row, of the first that is there; None if
            nothing is.
        """

    @abc.abstractmethod
    def token_column(self, name: str) -> list[np.ndarray] | None:
        """What else is there of each token.

        Args:
            name: str.

        Returns:
            list of arrays `(tokens, …)`, one an example; None if there is
            nothing of that name.

        Raises:
            DataError: there is one, and it is not of each token.
        """

    @property
    @abc.abstractmethod
    def ids(self) -> list[str] | None:
        """The examples' own ids, where there are any."""
