"""`tf.distribute` strategies by their names on the command line."""

import json
import os

import tensorflow as tf

from bvkeras.errors import ArgumentError

_VARIABLE = "TF_CONFIG"


def strategy_of(name: str) -> tf.distribute.Strategy:
    """Makes a strategy.

    Args:
        name: str. `"mirrored"`: all GPUs of this machine; `"workers"`: the
            processes that the environment variable `TF_CONFIG` names.

    Raises:
        ArgumentError: `TF_CONFIG` is not there, or is not what TensorFlow
            expects.
    """
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    text = os.environ.get(_VARIABLE)
    if text is None:
        raise ArgumentError(
            f"strategy: workers need the environment variable {_VARIABLE}, "
            "which names all processes and which of them this is"
        )
    try:
        config = json.loads(text)
        kind, index = config["task"]["type"], config["task"]["index"]
        address = config["cluster"][kind][index]
    except (ValueError, KeyError, TypeError, IndexError):
        address = None
    if not isinstance(address, str):
        raise ArgumentError(
            f'{_VARIABLE}: expected {{"cluster": {{"worker": [addresses]}}, '
            f'"task": {{"type": "worker", "index": i}}}}, got {text:.80}'
        )
    return tf.distribute.MultiWorkerMirroredStrategy()
