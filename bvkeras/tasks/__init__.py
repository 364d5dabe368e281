"""The tasks: `get` one by name, `names` lists them."""

from bvkeras.tasks.registry import get, names
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.table_files import TableFiles
from bvkeras.tasks.window_plan import WindowPlan

__all__ = [
    "TableFiles",
    "TaskSettings",
    "TaskSpec",
    "WindowPlan",
    "get",
    "names",
]
