"""The tasks: `get` one by name, `names` lists them, `spec_of` takes both."""

from bvkeras.tasks.registry import get, names, spec_of
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.window_plan import WindowPlan

__all__ = ["TaskSettings", "TaskSpec", "WindowPlan", "get", "names", "spec_of"]
