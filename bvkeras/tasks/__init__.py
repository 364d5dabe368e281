"""The tasks: `get` one by name, `names` lists them."""

from bvkeras.tasks.registry import get, names
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TaskSpec

__all__ = ["TaskSettings", "TaskSpec", "get", "names"]
