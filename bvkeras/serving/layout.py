"""Where an export's files lie, and its description in plain JSON."""

import json
import os
import pathlib
import stat
from typing import Any, NoReturn

from bvkeras.errors import DataError
from bvkeras.serving.description import check_description

EXTRA = "assets.extra"
DESCRIPTION = f"{EXTRA}/bvkeras.json"
VOCABULARY = f"{EXTRA}/vocabulary.json"
# Where TensorFlow Serving looks for it.
WARM_UP = f"{EXTRA}/tf_serving_warmup_requests"
VARIABLES = "variables/variables"
GRAPH = "saved_model.pb"
FORMAT = 1
_MOST_DESCRIPTION_BYTES = 1 << 22
_MOST_VOCABULARY_BYTES = 1 << 26


def versions(directory: str | os.PathLike) -> list[int]:
    """Numbers of the versions in a folder of exports, the lowest first."""
    return sorted(
        int(path.name)
        for path in pathlib.Path(directory).glob("*")
        if path.name.isascii() and path.name.isdigit() and path.is_dir()
    )


def version_directory(directory: str | os.PathLike) -> pathlib.Path:
    """The folder of one version: the one given, or the newest in it.

    Raises:
        DataError: there is no export.
    """
    directory = pathlib.Path(directory)
    if (directory / GRAPH).is_file():
        return directory
    found = versions(directory)
    if not found:
        raise DataError(
            f"{directory} is no export: expected {GRAPH}, or a numbered folder "
            "with one"
        )
    return directory / str(found[-1])


def read_description(version: pathlib.Path) -> dict[str, Any]:
    """What an export says of itself.

    Raises:
        DataError: it has no description, or one of another format.
    """
    path = version / DESCRIPTION
    if not os.path.lexists(path):
        raise DataError(f"{path} is missing: not exported by bvkeras")
    description = _read_json(version, DESCRIPTION, _MOST_DESCRIPTION_BYTES)
    try:
        if not isinstance(description, dict):
            raise ValueError("it is no record")
        found = description.get("format")
        if type(found) is not int or found != FORMAT:
            raise ValueError(f"it has another format, expected {FORMAT}")
        check_description(description)
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return description


def read_vocabulary(version: pathlib.Path) -> list[str]:
    """The word pieces of an export's tokenizer.

    Raises:
        DataError: they are missing, or something else is there.
    """
    vocabulary = _read_json(version, VOCABULARY, _MOST_VOCABULARY_BYTES)
    try:
        # JSON can hold halves of characters, which are no text.
        "".join(vocabulary).encode("utf-8")
        if not isinstance(vocabulary, list):
            raise TypeError
    except (TypeError, UnicodeEncodeError):
        raise DataError(
            f"{version / VOCABULARY} is no list of word pieces"
        ) from None
    return vocabulary


def check_file(version: pathlib.Path, name: str) -> None:
    """Refuses what is no file: a pipe would be waited for without end.

    Raises:
        DataError: there is none, or it is a link or something else.
    """
    path = version / name
    try:
        is_file = stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not is_file:
        raise DataError(f"{path} is no file, expected one")


def read_file(
    version: pathlib.Path, name: str, most_bytes: int | None = None
) -> bytes:
    """The bytes of a file of an export.

    Args:
        version: path.
        name: str. Its path below `version`.
        most_bytes: int. Refused if there are more. Defaults to no limit.

    Raises:
        DataError: it is no file, too large, or cannot be read.
    """
    check_file(version, name)
    path = version / name
    num_bytes = path.lstat().st_size
    if most_bytes is not None and num_bytes > most_bytes:
        raise DataError(
            f"{path} has {num_bytes:,} bytes, expected at most {most_bytes:,}"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _read_json(version: pathlib.Path, name: str, most_bytes: int) -> Any:
    data = read_file(version, name, most_bytes)
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise DataError(f"{version / name} is nested too deeply") from None
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{version / name} cannot be read: {reason}") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def refuse_links(version: pathlib.Path) -> None:
    """Refuses an export from which a link could lead elsewhere.

    Raises:
        DataError: there is a link in it.
    """
    for path in (version, *version.rglob("*")):
        if path.is_symlink():
            raise DataError(f"{path} is a link, expected a file or a folder")
