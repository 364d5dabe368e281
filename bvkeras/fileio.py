"""Files that are either whole or not there: atomic writes, digests, locks.

And the one reader of JSON records: whatever a file holds, it gives a value of
the shape asked for or one line that names the file.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

import filelock

from bvkeras.errors import BvkerasError, DataError, RunError
from bvkeras.printable import printable
from bvkeras.schema import Schema, find_problem

_CHUNK_BYTES = 1 << 20
# Ours are far smaller; nobody gets to fill the memory by a link to a device.
_RECORD_BYTES = 1 << 26
_RECORD_DEPTH = 64
# In front, not after: some writers choose the format by the suffix. After
# it come the process that writes and its machine: a folder may be shared.
_TEMPORARY = ".tmp."
_OWNER = re.compile(r"\.tmp\.(\d{1,9})(?:@([0-9A-Za-z_-]+))?\.")
# This machine, as the names of files can have it.
HOST = re.sub(r"[^0-9A-Za-z_]", "-", socket.gethostname())[:32] or "-"
# How far apart the clocks of files and processes may be.
_CLOCK_SECONDS = 2.0
# What another machine has not touched for so long, it writes no more.
_OTHER_MACHINE_SECONDS = 3600.0
# A disk that takes no more, told by classes of others' own: safetensors'
# "code: 28" and "os error 28", HDF5's "errno = 28".
_CODE = re.compile(r"(?:\bcode: |\bos error |\berrno = |\[Errno )(\d+)")
_DISK_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_tidied: set[pathlib.Path] = set()


def before_operation(name: str, path: pathlib.Path) -> None:
    """Called before every "write", "sync" and "rename" for the file `path`.

    It does nothing. Tests put in its place what raises or exits at each call
    in turn: wherever that is, nothing finished may be lost, and nothing
    unfinished be taken for whole.
    """


def sync_directory(path: str | os.PathLike) -> None:
    """Makes a rename inside `path` survive a power cut (POSIX only)."""
    before_operation("sync", pathlib.Path(path))
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary path that becomes `path` when the block succeeds.

    The file written there is synced to disk and renamed over `path`; if the
    block raises, it is removed and `path` is left as it was.

    Args:
        path: str or path. The file to write. Its folder is made if needed.

    Raises:
        OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    _make_tidy(path.parent)
    temporary = path.with_name(f"{_TEMPORARY}{_writer()}.{path.name}")
    try:
        with _naming(path, temporary):
            yield temporary
            _sync_file(temporary, path)
            _rename(temporary, path)
            sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary folder that becomes `path` when the block succeeds.

    An older `path` is replaced: killed at any moment, the old folder, the new
    one or none is there, never a part. The files are synced first.

    Args:
        path: str or path. The folder to write.

    Raises:
        OSError: a file in it cannot be written.
    """
    path = pathlib.Path(path)
    _make_tidy(path.parent)
    temporary = pathlib.Path(
        tempfile.mkdtemp(
            prefix=f"{_TEMPORARY}{_writer()}.",
            suffix=f".{path.name}",
            dir=path.parent,
        )
    )
    replaced = temporary.with_name(f"{temporary.name}.replaced")
    try:
        with _naming(path, temporary):
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    _sync_file(file, path)
                else:
                    sync_directory(file)
            sync_directory(temporary)
            temporary.chmod(0o755)
            if path.exists():
                _rename(path, replaced)
            _rename(temporary, path)
            sync_directory(path.parent)
    finally:
        if replaced.exists() and not path.exists():
            os.replace(replaced, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def is_leftover(path: str | os.PathLike) -> bool:
    """Whether a file is what a killed writer of this module left."""
    path = pathlib.Path(path)
    return path.name.startswith(_TEMPORARY) and not _is_under_way(path)


def remove_leftovers(directory: str | os.PathLike) -> None:
    """Removes what killed writers of this module left in `directory`.

    What a process of this machine is still writing stays, and for an hour
    what another machine wrote. Every folder is tidied so before this process
    first writes a file into it; call it where one is only looked at.
    """
    for path in filter(
        is_leftover, pathlib.Path(directory).glob(f"{_TEMPORARY}*")
    ):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, atomically."""
    with atomic_path(path) as temporary:
        before_operation("write", pathlib.Path(path))
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON to `path`, atomically."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """`value` as indented JSON, as a file has it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(
    path: str | os.PathLike,
    schema: Schema | None = None,
    *,
    error: type[BvkerasError] = DataError,
    max_bytes: int = _RECORD_BYTES,
) -> Any:
    """Reads the JSON file `path`, whatever it is, without surprises.

    Args:
        path: str or path. UTF-8, with or without a byte order mark.
        schema: mapping. JSON Schema of what it must hold; see
            `bvkeras.schema`. Defaults to anything.
        error: class. What is raised. Defaults to `DataError`.
        max_bytes: int. A larger file is not read. Defaults to 64 MiB.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the system does not let it be read.
        error: it is no plain file, too large, no JSON in UTF-8, nested more
            than 64 deep, or not of the schema; one line with the file's name.
    """
    text = read_bytes(path, error=error, max_bytes=max_bytes)
    return parse_json(text, path, schema, error=error)


def parse_json(
    text: bytes,
    where: Any,
    schema: Schema | None = None,
    *,
    error: type[BvkerasError] = DataError,
) -> Any:
    """Makes a JSON value of bytes, with the checks of `read_json`.

    Args:
        text: bytes.
        where: path of the file they are from, for messages.
        schema: mapping. As `read_json`.
        error: class. As `read_json`.
    """
    try:
        value = json.loads(text.decode("utf-8-sig"))
        if b"\\ud" in text.lower():
            # An escape is how half a character gets past the decoding.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: is not JSON in UTF-8 ({problem})") from None
    if _is_deeper(value, _RECORD_DEPTH):
        raise error(f"{where}: is nested more than {_RECORD_DEPTH} deep")
    found = schema and find_problem(value, schema)
    if found:
        raise error(f"{where}: {found}")
    return value


def read_bytes(
    path: str | os.PathLike,
    *,
    error: type[BvkerasError] = DataError,
    max_bytes: int = _RECORD_BYTES,
) -> bytes:
    """All bytes of a plain file that is not too large.

    Args:
        path: str or path.
        error: class. What is raised. Defaults to `DataError`.
        max_bytes: int. The most it may have.

    Raises:
        OSError: the system does not let it be read.
        error: it is a pipe or a device, or too large.
    """
    with open_plain(path, error=error) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise error(
                f"{path}: has {size:,} bytes, expected at most {max_bytes:,}"
            )
        return file.read(size)


def open_plain(
    path: str | os.PathLike, *, error: type[BvkerasError] = DataError
) -> IO[bytes]:
    """Opens a file for reading, and nothing that only looks like one.

    A pipe would be waited for, and a device never ends.

    Raises:
        OSError: the system does not let it be read.
        error: it is no plain file.
    """

    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"{path}: is no plain file")
    return os.fdopen(descriptor, "rb")


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def value_digest(value: Any) -> str:
    """SHA-256 of a JSON value, the same whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@contextlib.contextmanager
def directory_lock(
    directory: str | os.PathLike, wait_seconds: float = 0
) -> Iterator[None]:
    """Holds `directory` for one process; the lock dies with the process.

    Args:
        directory: str or path. Made if it is not there.
        wait_seconds: float. How long another process is waited for. Defaults
            to `0`.

    Raises:
        RunError: another process holds it.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=wait_seconds)
    except filelock.Timeout:
        raise RunError(
            f"{directory} is in use by another bvkeras process; wait for it "
            "or choose another output directory"
        ) from None
    try:
        yield
    finally:
        lock.release()


def require_same(
    where: str | os.PathLike, found: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Refuses earlier work that was made with other settings.

    Args:
        where: str or path. The earlier work, for the message.
        found: dict. The settings it was made with.
        wanted: dict. The settings asked for now.

    Raises:
        RunError: they differ; the message names the first difference.
    """
    if found.keys() != wanted.keys():
        raise RunError(f"{where} was made by another version of bvkeras")
    difference = first_difference(found, wanted)
    if difference:
        name, was, wants = difference
        raise RunError(
            f"{where} was made with {name} = {was}, not {wants}; use another "
            "output directory, or remove it"
        )


def first_difference(
    found: dict[str, Any], wanted: dict[str, Any]
) -> tuple[str, str, str] | None:
    """Where two JSON objects first differ, in the order of `wanted`.

    Returns:
        The dotted name of the value, and what each of the two has, shortened
        for a message; None if they are equal.
    """
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        was, wants = found.get(name), wanted.get(name)
        if was == wants:
            continue
        if isinstance(was, dict) and isinstance(wants, dict):
            inner = first_difference(was, wants)
            assert inner is not None
            return f"{name}.{inner[0]}", inner[1], inner[2]
        return name, _short(was), _short(wants)
    return None


def _make_tidy(directory: pathlib.Path) -> None:
    """Makes a folder, without what killed processes left there."""
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.absolute()
    if directory not in _tidied:
        _tidied.add(directory)
        remove_leftovers(directory)


def _writer() -> str:
    """This process, as temporary names have it."""
    return f"{os.getpid()}@{HOST}"


def _is_under_way(path: pathlib.Path) -> bool:
    """Whether a process may still be writing a file.

    One of this machine that began after the file was written has only got
    the number. Of another machine's, the file's age has to tell.
    """
    owner = _OWNER.match(path.name)
    if owner is None:
        return False
    if owner[2] not in (None, HOST):
        try:
            age = time.time() - path.lstat().st_mtime
        except FileNotFoundError:
            return False
        return age < _OTHER_MACHINE_SECONDS
    # The command line is parsed without it.
    import psutil

    try:
        began = psutil.Process(int(owner[1])).create_time()
        return began <= path.lstat().st_mtime + _CLOCK_SECONDS
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.AccessDenied:
        return True


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (
                parent.values() if isinstance(parent, dict) else parent
            )
        ]
        if not level:
            return False
    return True


@contextlib.contextmanager
def _naming(path: pathlib.Path, temporary: pathlib.Path) -> Iterator[None]:
    """Gives an error of the system the name of the file it is about.

    A full disk is met by `write`, which knows no name, and a temporary name
    helps nobody. Libraries that write a format tell it in classes of their
    own.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            _raise_disk_error(error, path)
        if error.errno is None or not _is_temporary(error.filename):
            raise
        name = os.fsdecode(error.filename or "")
        if name.startswith(f"{temporary}{os.sep}"):
            path = path / name[len(f"{temporary}{os.sep}") :]
        # HDF5 puts lines of its own where the system's word belongs.
        text = os.strerror(error.errno)
        raise OSError(error.errno, text, str(path)) from error
    except BvkerasError:
        raise
    except Exception as error:
        _raise_disk_error(error, path)
        raise


def _raise_disk_error(error: Exception, path: pathlib.Path) -> None:
    """Raises what an error tells of the disk, if it does."""
    found = _CODE.search(str(error))
    code = int(found[1]) if found else None
    if code in _DISK_CODES:
        raise OSError(code, os.strerror(code), str(path)) from error


def _is_temporary(name: str | bytes | None) -> bool:
    return name is None or _TEMPORARY in os.fsdecode(name)


def _sync_file(file: pathlib.Path, target: pathlib.Path) -> None:
    before_operation("sync", target)
    with open(file, "rb+") as handle:
        os.fsync(handle.fileno())


def _rename(source: pathlib.Path, target: pathlib.Path) -> None:
    before_operation("rename", target)
    os.replace(source, target)


def _short(value: Any) -> str:
    text = printable(json.dumps(value))
    return text if len(text) <= 40 else text[:16] + "…"
