"""Loading an export, whatever is wrong with it."""

import pathlib
from typing import Any

import tensorflow as tf

from bvkeras.errors import DataError, MissingPackageError


def load(version: pathlib.Path) -> Any:
    """Loads a version of an export with TensorFlow.

    Look at it first: `bvkeras.serving.inspect`. Loading runs what stands in
    it.

    Args:
        version: path.

    Returns:
        What `tf.saved_model.load` gives.

    Raises:
        DataError: it cannot be loaded, for whatever reason.
        MissingPackageError: tensorflow-text is not installed.
    """
    try:
        # Registers the tokenizer's operation.
        import tensorflow_text  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"tensorflow-text cannot be imported: {error}"
        ) from None
    try:
        return tf.saved_model.load(str(version))
    # What a damaged file makes of TensorFlow's Python has no common class:
    # IndexError, AttributeError, AssertionError and more.
    except Exception as error:
        lines = str(error).strip().splitlines() or ["no reason is given"]
        raise DataError(
            f"{version} cannot be loaded: {type(error).__name__}: {lines[0]}"
        ) from None
