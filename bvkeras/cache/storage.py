"""Reading bytes at any place of a file, wherever TensorFlow can read."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from bvkeras import fileio
from bvkeras.errors import CacheError


def is_local(path: str | os.PathLike) -> bool:
    """Whether a path lies in the machine's own file system."""
    return "://" not in os.fspath(path)


def as_directory(path: str | os.PathLike) -> pathlib.Path | str:
    """A folder as a path; as a string where it is not local.

    `pathlib` would make `ram:/` of `ram://`.
    """
    if is_local(path):
        return pathlib.Path(path)
    return os.fspath(path).rstrip("/")


def join(directory: pathlib.Path | str, name: str) -> pathlib.Path | str:
    """The path of a file in what `as_directory` gave."""
    if isinstance(directory, pathlib.Path):
        return directory / name
    return f"{directory}/{name}"


def leads_outside(directory: pathlib.Path | str, name: str) -> bool:
    """Whether a file in a folder is a link to a place outside of it."""
    if not isinstance(directory, pathlib.Path):
        return False
    path = directory / name
    return path.is_symlink() and not path.resolve().is_relative_to(
        directory.resolve()
    )


def file_size(path: str | os.PathLike) -> int | None:
    """Bytes of a file; None if there is none, or it is no plain file."""
    if is_local(path):
        path = pathlib.Path(path)
        return path.stat().st_size if path.is_file() else None
    try:
        with as_os_error():
            stat = tf.io.gfile.stat(os.fspath(path))
    except FileNotFoundError:
        return None
    return None if stat.is_directory else stat.length


def list_files(directory: str | os.PathLike) -> list[str]:
    """Names of what is in a folder.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if is_local(directory):
        return os.listdir(directory)
    with as_os_error():
        names = tf.io.gfile.listdir(os.fspath(directory))
    return [name.rstrip("/") for name in names]


class RandomAccessFile:
    """A file opened for reading at any place; for one thread at a time.

    Args:
        path: str or path. Local, or any that `tf.io.gfile` reads.

    Raises:
        CacheError: it is a pipe or a device.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, path: str | os.PathLike):
        self._descriptor: int | None = None
        # Open where there is no descriptor.
        self._file: Any = None
        if is_local(path) and hasattr(os, "preadv"):
            with fileio.open_plain(path, error=CacheError) as file:
                self._descriptor = os.dup(file.fileno())
        else:
            if file_size(path) is None:
                raise FileNotFoundError(f"no such file: {path}")
            self._file = tf.io.gfile.GFile(os.fspath(path), "rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        else:
            self._file.close()

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Up to `num_bytes` bytes from `offset`; fewer at the file's end."""
        if self._descriptor is not None:
            return os.pread(self._descriptor, num_bytes, offset)
        with as_os_error():
            self._file.seek(offset)
            return self._file.read(num_bytes)

    def read_into(self, buffers: Sequence[np.ndarray], offset: int) -> int:
        """Fills buffers, one after the other, from `offset`.

        Args:
            buffers: sequence of uint8 arrays `(bytes,)`, contiguous.
            offset: int. Place in the file.

        Returns:
            Bytes read: fewer than the buffers hold at the file's end.
        """
        if self._descriptor is not None:
            return os.preadv(
                self._descriptor, [b.data for b in buffers], offset
            )
        data = self.read(offset, sum(buffer.size for buffer in buffers))
        place = 0
        for buffer in buffers:
            part = data[place : place + buffer.size]
            buffer[: len(part)] = np.frombuffer(part, np.uint8)
            place += len(part)
        return len(data)


def read_all(path: str | os.PathLike, max_bytes: int) -> bytes:
    """All bytes of a small file.

    Raises:
        CacheError: it is no plain file, or has more than `max_bytes` bytes.
        FileNotFoundError: there is no such file.
    """
    if is_local(path):
        return fileio.read_bytes(path, error=CacheError, max_bytes=max_bytes)
    with RandomAccessFile(path) as file:
        data = file.read(0, max_bytes + 1)
    if len(data) > max_bytes:
        raise CacheError(f"{path}: expected at most {max_bytes:,} bytes")
    return data


@contextlib.contextmanager
def as_os_error() -> Iterator[None]:
    """Makes of TensorFlow's errors about files Python's own."""
    try:
        yield
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(error.message) from None
    except tf.errors.OpError as error:
        raise OSError(error.message) from None
