"""A task as a JSON file, so that every verb knows it again."""

import dataclasses
import enum
import os
import pathlib
import typing
from collections.abc import Mapping
from typing import Any

from bvkeras import fileio
from bvkeras.errors import DataError
from bvkeras.tasks.spec import TaskSpec

TASK_FILE = "task.json"

_FORMAT_VERSION = 1


def task_to_record(task: TaskSpec) -> dict[str, Any]:
    """A task as JSON values, all that `task_from_record` needs."""
    return {"format_version": _FORMAT_VERSION, **_plain(task)}


def task_from_record(record: Any, where: str | os.PathLike) -> TaskSpec:
    """The task that `task_to_record` described.

    Args:
        record: JSON value.
        where: str or path. What to call the record in messages.

    Raises:
        DataError: `record` describes no task; names the key.
    """
    if not isinstance(record, Mapping):
        raise DataError(f"{where}: expected a described task, got {record!r}")
    values = dict(record)
    version = values.pop("format_version", None)
    if version != _FORMAT_VERSION:
        raise DataError(
            f"{where}: format_version is {version!r}, expected "
            f"{_FORMAT_VERSION}"
        )
    return _make(TaskSpec, values, where)


def read_task(path: str | os.PathLike) -> TaskSpec:
    """The task in a file, or in the `task.json` of a directory.

    Raises:
        DataError: it is not there, or describes no task.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        path /= TASK_FILE
    if not path.is_file():
        raise DataError(f"{path}: there is no such description of a task")
    return task_from_record(fileio.read_json(path), path)


def write_task(task: TaskSpec, path: str | os.PathLike) -> None:
    """Writes what `read_task` reads, whole or not at all."""
    fileio.write_json(pathlib.Path(path), task_to_record(task))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _make(kind: type, values: Any, where: str | os.PathLike) -> Any:
    if not isinstance(values, Mapping):
        raise DataError(f"{where}: expected an object, got {values!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(map(str, set(values) - set(hints)))
    if unknown:
        raise DataError(f"{where}: no such key {unknown[0]!r}")
    arguments = {
        name: _checked(value, hints[name], f"{where}, {name}")
        for name, value in values.items()
    }
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}") from None


def _checked(value: Any, hint: Any, where: str) -> Any:
    """A value of the type it should have; a list becomes a tuple."""
    # A bool is an int to Python, and no number to a reader.
    if (
        isinstance(hint, type)
        and isinstance(value, hint)
        and isinstance(value, bool) <= (hint is bool)
    ):
        return value
    is_part = isinstance(hint, type) and dataclasses.is_dataclass(hint)
    if is_part and isinstance(value, Mapping):
        return _make(hint, value, where)
    if isinstance(hint, enum.EnumMeta):
        known = [member.value for member in list[enum.Enum](hint)]
        if value in known:
            return hint(value)
        raise DataError(
            f"{where}: expected one of {', '.join(known)}, got {value!r:.80}"
        )
    if hint is float and type(value) is int:
        return float(value)
    options = typing.get_args(hint)
    if type(None) in options and isinstance(value, Mapping):
        # A part that a task may have: what is wrong in it is to be said.
        (hint,) = (option for option in options if option is not type(None))
        return _checked(value, hint, where)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        if options[-1] is Ellipsis:
            options = options[:1] * len(value)
        if len(options) == len(value):
            return tuple(
                _checked(item, option, where)
                for item, option in zip(value, options, strict=True)
            )
    elif options and typing.get_origin(hint) is not tuple:
        for option in options:
            if option is type(None) and value is None:
                return None
            if option is not type(None):
                try:
                    return _checked(value, option, where)
                except DataError:
                    continue
    raise DataError(f"{where}: expected {hint}, got {value!r:.80}")
