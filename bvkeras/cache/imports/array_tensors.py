"""Arrays in memory, or a `.npy` file: the class `ArrayTensors`."""

import contextlib
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from bvkeras.cache.imports.tensors import Read, Tensors, opened
from bvkeras.errors import DataError
from bvkeras.fileio import open_plain
from bvkeras.printable import one_line

# What the one array of a `.npy` file is called.
STATES = "hidden_states"


class ArrayTensors(Tensors):
    """Arrays by their names.

    Args:
        arrays: mapping of name to array.
        name: str. What to call them in messages. Defaults to `"arrays"`.
        path: path, or None. The file they are of. Defaults to `None`.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        name: str = "arrays",
        path: pathlib.Path | None = None,
    ):
        self.name, self.path = name, path
        self._arrays = {key: np.asanyarray(x) for key, x in arrays.items()}
        self.shapes = {key: x.shape for key, x in self._arrays.items()}
        self.dtypes = {key: x.dtype.name for key, x in self._arrays.items()}

    @classmethod
    def of_file(cls, path: str | os.PathLike) -> "ArrayTensors":
        """The array of a `.npy` file, which stays on disk.

        Raises:
            DataError: it is no such file, or holds Python objects.
        """
        path = pathlib.Path(path)
        return cls({STATES: load_array(path, mmap=True)}, str(path), path)

    def whole(self, name: str) -> np.ndarray:
        return np.asarray(self._arrays[name])

    def reading(self) -> contextlib.AbstractContextManager[Read]:
        return opened(
            lambda name, start, stop: np.asarray(self._arrays[name][start:stop])
        )


def load_array(path: pathlib.Path, mmap: bool = False) -> np.ndarray:
    """The array of a `.npy` file; Python objects are never opened.

    Args:
        path: path.
        mmap: bool. Whether it stays on disk. Defaults to `False`.

    Raises:
        DataError: it is no such file, or holds Python objects.
    """
    try:
        # Nothing that would be waited for.
        open_plain(path).close()
        array = np.load(path, mmap_mode="r" if mmap else None)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as a .npy file of numbers "
            f"({one_line(error)})"
        ) from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: holds several arrays, expected one (.npz)")
    return array
