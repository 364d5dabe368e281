"""bvkeras: BERT's hidden states as a cheap, reusable feature engine.

Importing it registers its layers, models, optimizer and learning-rate schedule
with Keras, so that `keras.models.load_model` opens what was saved with them.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

from bvkeras import layers, models, tasks
from bvkeras.training import optimizers as _  # noqa: F401, registers it

_LAZY = {
    "Encoder": "bvkeras.encoder",
    "HiddenStateCache": "bvkeras.cache.reader",
    "MultiTaskModel": "bvkeras.models.multi_task",
    "finetune": "bvkeras.training.finetune",
    "load_backbone": "bvkeras.backbones",
    "load_examples": "bvkeras.data.sources",
    "train_head": "bvkeras.training.head",
    "write_cache": "bvkeras.cache.writer",
}

__all__ = [
    "Encoder",
    "HiddenStateCache",
    "MultiTaskModel",
    "__version__",
    "finetune",
    "layers",
    "load_backbone",
    "load_examples",
    "models",
    "pipeline",
    "serving",
    "tasks",
    "train_head",
    "write_cache",
]


def __getattr__(name: str) -> Any:
    if name in ("pipeline", "serving"):
        return importlib.import_module(f"bvkeras.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'bvkeras' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
