"""Tensors of a safetensors file: the class `SafetensorsTensors`."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import safetensors

from bvkeras.cache.imports.tensors import Read, Tensors
from bvkeras.errors import DataError
from bvkeras.fileio import open_plain
from bvkeras.printable import one_line

_DTYPES = {
    "BOOL": "bool",
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16",
}


class SafetensorsTensors(Tensors):
    """The tensors of a safetensors file.

    Args:
        path: str or path.

    Raises:
        DataError: it is no such file.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.name = str(path)
        self.shapes, self.dtypes = {}, {}
        with self._opened() as file:
            for name in file.keys():  # noqa: SIM118
                found = file.get_slice(name)
                self.shapes[name] = tuple(found.get_shape())
                kind = found.get_dtype()
                self.dtypes[name] = _DTYPES.get(kind, kind)

    def whole(self, name: str) -> np.ndarray:
        with self._opened() as file:
            return file.get_tensor(name)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Read]:
        with self._opened() as file:
            yield lambda name, start, stop: file.get_slice(name)[start:stop]

    @contextlib.contextmanager
    def _opened(self):
        try:
            # Nothing that would be waited for.
            open_plain(self.name).close()
            opened = safetensors.safe_open(self.name, framework="numpy")
        except FileNotFoundError:
            raise DataError(f"{self.name}: there is no such file") from None
        except (OSError, safetensors.SafetensorError) as error:
            raise DataError(
                f"{self.name}: cannot be read as safetensors "
                f"({one_line(error)})"
            ) from None
        with opened as file:
            yield file
