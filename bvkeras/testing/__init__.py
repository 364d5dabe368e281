"""Checks of heads, poolers and tasks of one's own, as ours are checked."""

import importlib
from typing import Any

_LAZY = {
    "Check": "bvkeras.testing.check",
    "check_head": "bvkeras.testing.heads",
    "check_pooler": "bvkeras.testing.poolers",
    "check_task": "bvkeras.testing.tasks",
    "head_checks": "bvkeras.testing.heads",
    "parametrize_with_checks": "bvkeras.testing.check",
    "pooler_checks": "bvkeras.testing.poolers",
    "task_checks": "bvkeras.testing.tasks",
}

__all__ = [
    "Check",
    "check_head",
    "check_pooler",
    "check_task",
    "head_checks",
    "parametrize_with_checks",
    "pooler_checks",
    "task_checks",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(
            f"module 'bvkeras.testing' has no attribute {name!r}"
        )
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
