"""Reading the small files of a checkpoint, whatever lies in their place."""

import pathlib
from typing import Any

from bvkeras import fileio
from bvkeras.errors import BackboneError
from bvkeras.schema import OBJECT, Schema

_POINTER = b"version https://git-lfs.github.com/spec/"
_BYTE_ORDER_MARK = "\ufeff"


def refuse_pointer(path: pathlib.Path) -> None:
    """Refuses a file that git-lfs has not brought yet.

    Raises:
        BackboneError: it is a pointer.
    """
    with fileio.open_plain(path, error=BackboneError) as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise BackboneError(
                f"{path} is a git-lfs pointer in place of the file itself: run "
                f"git lfs pull in {path.parent}"
            )


def read_object(path: pathlib.Path, schema: Schema = OBJECT) -> dict[str, Any]:
    """Reads a JSON file that must hold one object.

    Args:
        path: path.
        schema: mapping. JSON Schema of the object. Defaults to any.

    Raises:
        BackboneError: it is missing, is no JSON, or holds something else.
    """
    try:
        refuse_pointer(path)
        return fileio.read_json(path, schema, error=BackboneError)
    except FileNotFoundError:
        raise BackboneError(f"{path} is missing") from None
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error}") from None


def read_object_if_there(path: pathlib.Path) -> dict[str, Any] | None:
    """As `read_object`; None if there is no such file."""
    return read_object(path) if path.is_file() else None


def read_bytes(path: pathlib.Path) -> bytes:
    """Reads a file as it is.

    Raises:
        BackboneError: it is missing or a git-lfs pointer.
    """
    try:
        refuse_pointer(path)
        return fileio.read_bytes(path, error=BackboneError)
    except FileNotFoundError:
        raise BackboneError(f"{path} is missing") from None
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error}") from None


def read_vocabulary(path: pathlib.Path) -> list[str]:
    """Reads a vocabulary file: one word piece a line, UTF-8.

    A byte-order mark, the line ends of Windows and blank lines at the end are
    no part of it.

    Raises:
        BackboneError: it is missing or no UTF-8.
    """
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BackboneError(f"{path} cannot be read: {error}") from None
    text = text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n")
    # Not splitlines: word pieces may be other characters that end a line.
    return text.rstrip("\n").split("\n")
