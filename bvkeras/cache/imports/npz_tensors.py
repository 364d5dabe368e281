"""Arrays of a `.npz` file, read as a stream: the class `NpzTensors`."""

import contextlib
import math
import os
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from bvkeras.cache.imports.tensors import Read, Tensors
from bvkeras.errors import DataError
from bvkeras.fileio import open_plain
from bvkeras.printable import one_line

_SUFFIX = ".npy"
_SKIPPED_BYTES = 1 << 20
_DAMAGE = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error)


class NpzTensors(Tensors):
    """The arrays of a `.npz` file, packed or not.

    No more than the rows asked for are in memory.

    Args:
        path: str or path.

    Raises:
        DataError: it is no such file.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.name = str(path)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._fortran: set[str] = set()
        with self._opened() as file:
            for info in file.infolist():
                if info.filename.endswith(_SUFFIX):
                    self._add(file, info)

    def whole(self, name: str) -> np.ndarray:
        if self.dtypes[name] == "object":
            raise DataError(
                f"{self.name}: {name} holds Python objects, which can run "
                "code and are never opened; save numbers or strings"
            )
        with self._naming(), np.load(self.name) as arrays:
            return arrays[name]

    @contextlib.contextmanager
    def reading(self) -> Iterator[Read]:
        streams: dict[str, _Stream] = {}
        with self._opened() as file, contextlib.ExitStack() as stack:

            def read(name, start, stop):
                if name in self._fortran:
                    raise DataError(
                        f"{self.name}: {name} is in Fortran's order, expected "
                        "C's: save numpy.ascontiguousarray of it"
                    )
                with self._naming():
                    if name not in streams:
                        stream = stack.enter_context(file.open(name + _SUFFIX))
                        streams[name] = _Stream(stream)
                    return streams[name].rows(start, stop)

            yield read

    def _add(self, file, info):
        name = info.filename.removesuffix(_SUFFIX)
        with self._naming(), file.open(info) as stream:
            shape, fortran, dtype = _header(stream)
            num_bytes = stream.tell() + math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and num_bytes != info.file_size:
            raise DataError(
                f"{self.name}: {name} has {info.file_size} bytes, its header "
                f"says {num_bytes}"
            )
        self.shapes[name], self.dtypes[name] = shape, dtype.name
        if fortran and len(shape) > 1:
            self._fortran.add(name)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        with self._naming():
            opened = open_plain(self.name)
        with opened:
            with self._naming():
                file = zipfile.ZipFile(opened)
            yield file

    @contextlib.contextmanager
    def _naming(self):
        try:
            yield
        except FileNotFoundError:
            raise DataError(f"{self.name}: there is no such file") from None
        except DataError:
            raise
        except _DAMAGE as error:
            raise DataError(
                f"{self.name}: cannot be read as a .npz file of numbers "
                f"({one_line(error)})"
            ) from None


class _Stream:
    """An array's rows, one after the other."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        shape, _, self._dtype = _header(file)
        self._row = shape[1:]
        self._row_bytes = math.prod(self._row) * self._dtype.itemsize
        self._next = 0

    def rows(self, start: int, stop: int) -> np.ndarray:
        left = (start - self._next) * self._row_bytes
        while left:
            skipped = self._file.read(min(left, _SKIPPED_BYTES))
            if not skipped:
                raise EOFError("it ends early")
            left -= len(skipped)
        data = self._file.read((stop - start) * self._row_bytes)
        self._next = stop
        return np.frombuffer(data, self._dtype).reshape(
            stop - start, *self._row
        )


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"an array of format {version}")
