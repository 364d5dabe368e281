"""bvkeras: BERT's hidden states as a cheap, reusable feature engine.

Nothing slow is imported before it is used: a public name opens its module at
the first access. When Keras is imported, before or after this package, the
layers, models, optimizer and learning-rate schedule register with it, so that
`keras.models.load_model` opens what was saved with them.
"""

import importlib
from typing import TYPE_CHECKING, Any

import wrapt

__version__ = "0.1.0"

_NAMES = {
    "AnswerFinder": "bvkeras.classifiers.answer_finder",
    "Encoder": "bvkeras.encoders.encoder",
    "HiddenStateCache": "bvkeras.cache.reader",
    "MultiTaskModel": "bvkeras.models.multi_task",
    "TextClassifier": "bvkeras.classifiers.text_classifier",
    "TextRegressor": "bvkeras.classifiers.text_regressor",
    "TokenClassifier": "bvkeras.classifiers.token_classifier",
    "finetune": "bvkeras.training.finetune",
    "import_cache": "bvkeras.cache.imports.importer",
    "load": "bvkeras.classifiers.loading",
    "load_backbone": "bvkeras.encoders.loading",
    "load_examples": "bvkeras.data.sources",
    "train_head": "bvkeras.training.head",
    "train_regression": "bvkeras.training.regression",
    "write_cache": "bvkeras.cache.writer",
}
_PACKAGES = (
    "cache",
    "classifiers",
    "data",
    "encoders",
    "evaluation",
    "layers",
    "models",
    "ops",
    "pipeline",
    "reports",
    "serving",
    "tasks",
    "testing",
    "training",
    "tuning",
)
_REGISTERED = (
    "bvkeras.layers",
    "bvkeras.models",
    "bvkeras.training.optimizers",
)

if TYPE_CHECKING:
    from bvkeras import (
        cache,
        classifiers,
        data,
        encoders,
        evaluation,
        layers,
        models,
        ops,
        pipeline,
        reports,
        serving,
        tasks,
        testing,
        training,
        tuning,
    )
    from bvkeras.cache.imports.importer import import_cache
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.cache.writer import write_cache
    from bvkeras.classifiers.answer_finder import AnswerFinder
    from bvkeras.classifiers.loading import load
    from bvkeras.classifiers.text_classifier import TextClassifier
    from bvkeras.classifiers.text_regressor import TextRegressor
    from bvkeras.classifiers.token_classifier import TokenClassifier
    from bvkeras.data.sources import load_examples
    from bvkeras.encoders.encoder import Encoder
    from bvkeras.encoders.loading import load_backbone
    from bvkeras.models.multi_task import MultiTaskModel
    from bvkeras.training.finetune import finetune
    from bvkeras.training.head import train_head
    from bvkeras.training.regression import train_regression

__all__ = [
    "AnswerFinder",
    "Encoder",
    "HiddenStateCache",
    "MultiTaskModel",
    "TextClassifier",
    "TextRegressor",
    "TokenClassifier",
    "__version__",
    "cache",
    "classifiers",
    "data",
    "encoders",
    "evaluation",
    "finetune",
    "import_cache",
    "layers",
    "load",
    "load_backbone",
    "load_examples",
    "models",
    "ops",
    "pipeline",
    "reports",
    "serving",
    "tasks",
    "testing",
    "train_head",
    "train_regression",
    "training",
    "tuning",
    "write_cache",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"bvkeras.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'bvkeras' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


# Those packages import Keras before any module of theirs. So this never meets
# a module of theirs that is half imported, whoever was first.
@wrapt.when_imported("keras")
def _register(keras) -> None:
    if keras.backend.backend() == "tensorflow":
        for name in _REGISTERED:
            importlib.import_module(name)
