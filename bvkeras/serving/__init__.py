"""Serving: one encoder and its heads as a SavedModel; a look, a server."""

import importlib
from typing import Any

_LAZY = {
    "Inspection": "bvkeras.serving.inspection",
    "Limits": "bvkeras.serving.rest.limits",
    "ServedHead": "bvkeras.serving.served_head",
    "ServedTask": "bvkeras.serving.served_task",
    "TextModel": "bvkeras.serving.text_model",
    "add_tasks": "bvkeras.serving.saved_model",
    "export": "bvkeras.serving.saved_model",
    "export_runs": "bvkeras.serving.runs",
    "inspect": "bvkeras.serving.inspection",
    "serve": "bvkeras.serving.rest.server",
    "tasks_of_model": "bvkeras.serving.served_task",
}

__all__ = [
    "Inspection",
    "Limits",
    "ServedHead",
    "ServedTask",
    "TextModel",
    "add_tasks",
    "export",
    "export_runs",
    "inspect",
    "serve",
    "tasks_of_model",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(
            f"module 'bvkeras.serving' has no attribute {name!r}"
        )
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
