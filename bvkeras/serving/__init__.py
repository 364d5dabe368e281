"""Serving: one encoder and its heads as a SavedModel, and a look at one."""

from bvkeras.serving.export import add_tasks, export
from bvkeras.serving.served_head import ServedHead
from bvkeras.serving.served_task import ServedTask

__all__ = ["ServedHead", "ServedTask", "add_tasks", "export"]
