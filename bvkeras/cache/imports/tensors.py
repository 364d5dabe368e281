"""Named arrays in one place: the class `Tensors`."""

import abc
import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

# Gives rows of a tensor: name, first row, and the one after the last. Rows
# of one tensor are asked for in their order.
Read = Callable[[str, int, int], np.ndarray]


class Tensors(abc.ABC):
    """Named arrays of one file, or of memory, read a few rows at a time.

    Attributes:
        name: str. The file, for messages.
        path: path, or None. The file.
        shapes: mapping of name to tuple of int.
        dtypes: mapping of name to str, as NumPy and ml_dtypes call them.
    """

    name: str
    path: pathlib.Path | None
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]

    @abc.abstractmethod
    def whole(self, name: str) -> np.ndarray:
        """All of a small tensor: lengths, labels.

        Raises:
            DataError: it cannot be read.
        """

    @abc.abstractmethod
    def reading(self) -> contextlib.AbstractContextManager[Read]:
        """Opens the tensors; a file is closed again after the block.

        Raises:
            DataError: the file is damaged.
        """


@contextlib.contextmanager
def opened(read: Read) -> Iterator[Read]:
    """A block in which what is always open can be read."""
    yield read
