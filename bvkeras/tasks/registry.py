"""Finds a task by its name, or by the file that describes it."""

import os
import pathlib

from bvkeras.errors import ArgumentError
from bvkeras.tasks.description import TASK_FILE, read_task
from bvkeras.tasks.glue import GLUE
from bvkeras.tasks.reviews import REVIEWS
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.squad import SQUAD_V2

_TASKS = {spec.name: spec for spec in (*GLUE, REVIEWS, SQUAD_V2)}
_KEYS = {name.replace("_", ""): name for name in _TASKS}
_OTHER_NAMES = {"squad2.0": "squadv2"}


def names() -> tuple[str, ...]:
    """Names of all tasks."""
    return tuple(_TASKS)


def spec_of(task: str | os.PathLike | TaskSpec) -> TaskSpec:
    """The task that is meant by a name, or by itself.

    Args:
        task: TaskSpec, or str or path as of `get`.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(task, TaskSpec):
        return task
    if isinstance(task, str | os.PathLike):
        return get(task)
    raise ArgumentError(
        f"task: expected a name or a TaskSpec, got {type(task).__name__}"
    )


def get(name: str | os.PathLike) -> TaskSpec:
    """Finds a task.

    Args:
        name: str or path. Case, `-`, `_` and blanks of a name do not count:
            `"sst2"`, `"SST-2"`, `"SQuAD 2.0"`. Or a file that describes a
            task, or a directory with such a `task.json`: a run of it.

    Raises:
        ArgumentError: there is no such task.
        DataError: the file describes none.

    Example:

    >>> bvkeras.tasks.get("STS-B").metrics
    ('pearson', 'spearman')
    """
    key = "".join(c for c in str(name).lower() if c not in "-_ ")
    key = _OTHER_NAMES.get(key, key)
    if key in _KEYS:
        return _TASKS[_KEYS[key]]
    path = pathlib.Path(name)
    if path.suffix == ".json" or (path / TASK_FILE).is_file():
        return read_task(path)
    raise ArgumentError(
        f"task: no task {str(name)!r}, expected one of {', '.join(_TASKS)}, a "
        f"{TASK_FILE}, or the directory of a run on a table of your own"
    )
