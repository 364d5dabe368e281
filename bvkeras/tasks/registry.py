"""Finds a task by its name."""

from bvkeras.errors import ArgumentError
from bvkeras.tasks.glue import GLUE
from bvkeras.tasks.reviews import REVIEWS
from bvkeras.tasks.spec import TaskSpec

_TASKS = {spec.name: spec for spec in (*GLUE, REVIEWS)}


def names() -> tuple[str, ...]:
    """Names of all tasks."""
    return tuple(_TASKS)


def get(name: str) -> TaskSpec:
    """Finds a task.

    Args:
        name: str. Case, `-` and `_` do not count: `"sst2"`, `"SST-2"`.

    Raises:
        ArgumentError: there is no such task.

    Example:

    >>> bvkeras.tasks.get("STS-B").metrics
    ('pearson', 'spearman')
    """
    key = str(name).lower().replace("-", "").replace("_", "")
    if key not in _TASKS:
        raise ArgumentError(
            f"task: no task {name!r}, expected one of {', '.join(_TASKS)}"
        )
    return _TASKS[key]
