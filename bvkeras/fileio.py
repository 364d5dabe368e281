"""Files that are either whole or not there: atomic writes, digests, locks."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import filelock

from bvkeras.errors import RunError

_CHUNK_BYTES = 1 << 20
# In front, not behind: some writers choose the format by the suffix.
_TEMPORARY = ".tmp."


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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}.{path.name}")
    try:
        with _naming(path):
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
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(
        tempfile.mkdtemp(
            prefix=_TEMPORARY, suffix=f".{path.name}", dir=path.parent
        )
    )
    replaced = temporary.with_name(f"{temporary.name}.replaced")
    try:
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
    return pathlib.Path(path).name.startswith(_TEMPORARY)


def remove_leftovers(directory: str | os.PathLike) -> None:
    """Removes what killed writers of this module left in `directory`."""
    for path in pathlib.Path(directory).glob(f"{_TEMPORARY}*"):
        if path.is_dir():
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
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads the JSON file `path` (UTF-8)."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


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
def directory_lock(directory: str | os.PathLike) -> Iterator[None]:
    """Holds `directory` for one process; the lock dies with the process.

    Args:
        directory: str or path. Made if it is not there.

    Raises:
        RunError: another process holds it.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
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
        values = [side.get(name) for side in (found, wanted)]
        if values[0] == values[1]:
            continue
        if all(isinstance(value, dict) for value in values):
            inner, *texts = first_difference(*values)
            return f"{name}.{inner}", *texts
        return name, *(_short(value) for value in values)
    return None


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Gives an error of the system the name of the file it is about.

    A full disk is met by `write`, which knows no name, and a temporary name
    helps nobody.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or not _is_temporary(error.filename):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


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
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:16] + "…"
