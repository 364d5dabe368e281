"""Writing files of a cache wherever TensorFlow can write."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.storage import RandomAccessFile, as_os_error, join

_CHUNK_BYTES = 4 << 20
_TEMPORARY = ".tmp.copy."


def file_chunks(path: pathlib.Path | str) -> Iterator[bytes]:
    """The bytes of a file, some megabytes at a time."""
    with RandomAccessFile(path) as file:
        place = 0
        while chunk := file.read(place, _CHUNK_BYTES):
            yield chunk
            place += len(chunk)


@contextlib.contextmanager
def held(target: pathlib.Path | str) -> Iterator[None]:
    """Keeps other processes out of a local folder; makes one elsewhere."""
    if isinstance(target, pathlib.Path):
        with fileio.directory_lock(target):
            fileio.remove_leftovers(target)
            yield
        return
    with as_os_error():
        tf.io.gfile.makedirs(target)
    yield


@contextlib.contextmanager
def writing(
    target: pathlib.Path | str, name: str
) -> Iterator[Callable[[bytes], object]]:
    """Gives a function that writes to a file which is there only at the end."""
    if isinstance(target, pathlib.Path):
        with (
            fileio.atomic_path(target / name) as temporary,
            open(temporary, "wb") as file,
        ):
            yield file.write
            file.flush()
        return
    # Always the same name, so that nothing is left in the end. Not every file
    # system shortens a file that is opened anew.
    other = join(target, _TEMPORARY + name)
    with as_os_error():
        if tf.io.gfile.exists(other):
            tf.io.gfile.remove(other)
        with tf.io.gfile.GFile(other, "wb") as file:
            yield file.write
        tf.io.gfile.rename(other, join(target, name), overwrite=True)
