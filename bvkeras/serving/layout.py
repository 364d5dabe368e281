"""Where an export's files lie, and its description in plain JSON."""

import os
import pathlib
from typing import Any

from bvkeras import fileio
from bvkeras.errors import DataError

EXTRA = "assets.extra"
DESCRIPTION = f"{EXTRA}/bvkeras.json"
VOCABULARY = f"{EXTRA}/vocabulary.json"
# Where TensorFlow Serving looks for it.
WARM_UP = f"{EXTRA}/tf_serving_warmup_requests"
VARIABLES = "variables/variables"
GRAPH = "saved_model.pb"
FORMAT = 1
_PARTS = {
    "encoder": {"name", "digest", "config", "dtype", "parameters"},
    "tokenizer": {"digest", "settings"},
    "tasks": set(),
}


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
    try:
        description = fileio.read_json(path)
        found = description["format"]
        for part, names in _PARTS.items():
            if not names <= description[part].keys():
                raise ValueError(f"{part} lacks one of {sorted(names)}")
    except FileNotFoundError:
        raise DataError(f"{path} is missing: not exported by bvkeras") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if found != FORMAT:
        raise DataError(f"{path} has format {found!r}, expected {FORMAT}")
    return description


def refuse_links(version: pathlib.Path) -> None:
    """Refuses an export from which a link could lead elsewhere.

    Raises:
        DataError: there is a link in it.
    """
    for path in (version, *version.rglob("*")):
        if path.is_symlink():
            raise DataError(f"{path} is a link, expected a file or a folder")
