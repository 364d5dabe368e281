"""Finds a task by its name."""

from bvkeras.errors import ArgumentError
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


def spec_of(task: str | TaskSpec) -> TaskSpec:
    """The task that is meant by a name, or by itself.

    Args:
        task: TaskSpec, or str as of `get`.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(task, TaskSpec):
        return task
    if isinstance(task, str):
        return get(task)
    raise ArgumentError(
        f"task: expected a name or a TaskSpec, got {type(task).__name__}"
    )


def get(name: str) -> TaskSpec:
    """Finds a task.

    Args:
        name: str. Case, `-`, `_` and blanks do not count: `"sst2"`,
            `"SST-2"`, `"SQuAD 2.0"`.

    Raises:
        ArgumentError: there is no such task.

    Example:

    >>> bvkeras.tasks.get("STS-B").metrics
    ('pearson', 'spearman')
    """
    key = "".join(c for c in str(name).lower() if c not in "-_ ")
    key = _OTHER_NAMES.get(key, key)
    if key not in _KEYS:
        raise ArgumentError(
            f"task: no task {name!r}, expected one of {', '.join(_TASKS)}"
        )
    return _TASKS[_KEYS[key]]
