"""Opening a head's `.keras` file, which may be anybody's."""

import math
import os
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import h5py
import keras

from bvkeras import fileio
from bvkeras.errors import DataError
from bvkeras.printable import one_line
from bvkeras.schema import OBJECT, POSITIVE, TEXT, Schema, record_of
from bvkeras.stored_weights import h5_weights, require_weights

_CONFIG_FILE = "config.json"
_METADATA_FILE = "metadata.json"
_WEIGHTS_FILE = "model.weights.h5"
# A head's config has a few hundred bytes.
_CONFIG_BYTES = 1 << 20
_CLASSES = (
    *("PoolingClassifier", "PoolingRegressor", "PoolingSpanModel"),
    "PoolingTagger",
)
_OPTIONAL = {"anyOf": [POSITIVE, {"type": "null"}]}
_PROBES = ("LinearProbe", "WeightedProbe")


def _of_class(names: Sequence[str], config: Schema) -> Schema:
    return record_of(
        class_name={"enum": list(names)},
        registered_name={"enum": [f"bvkeras>{name}" for name in names]},
        config=config,
    )


_POOLED_SCHEMA = _of_class(
    _CLASSES,
    record_of(
        {
            "sequence_length": _OPTIONAL,
            "num_classes": POSITIVE,
            "num_outputs": POSITIVE,
        },
        units=POSITIVE,
        num_layers=_OPTIONAL,
        hidden_dim=_OPTIONAL,
        pooler=TEXT,
        kernel_initializer=OBJECT,
        projection_initializer=OBJECT,
    ),
)
_PROBE_SCHEMA = _of_class(
    _PROBES,
    record_of(
        num_classes=_OPTIONAL,
        num_layers=POSITIVE,
        hidden_dim=POSITIVE,
        pairs={"type": "boolean"},
    ),
)


def load_head_model(path: str | os.PathLike) -> keras.Model:
    """Opens a head that was saved with `keras.Model.save`.

    Before anything is made, its config is compared with what the file holds:
    a file of a few kilobytes can ask for a million layers.

    Args:
        path: str or path. A `.keras` file.

    Raises:
        DataError: it is damaged, or no head of bvkeras.
        OSError: it cannot be read.
    """
    try:
        with fileio.open_plain(path) as file:
            _check(file, path)
        return keras.models.load_model(path)
    except (DataError, OSError) as error:
        if isinstance(error, DataError) or error.errno is not None:
            raise
        # HDF5 makes an OSError without a number of any damage.
        raise DataError(f"{path} is damaged: {one_line(error)}") from None
    except Exception as error:
        # Keras and zipfile raise whatever is met inside of them.
        raise DataError(f"{path} is damaged: {one_line(error)}") from None


def _check(file: IO[bytes], path: str | os.PathLike) -> None:
    with zipfile.ZipFile(file) as archive:
        for name in (_CONFIG_FILE, _METADATA_FILE):
            size = archive.getinfo(name).file_size
            if size > _CONFIG_BYTES:
                raise DataError(
                    f"{path}: its {name} has {size:,} bytes, expected at most "
                    f"{_CONFIG_BYTES:,}"
                )
        entry = archive.getinfo(_WEIGHTS_FILE)
        # Keras does not compress them, and would unpack them in memory.
        if entry.compress_type != zipfile.ZIP_STORED:
            raise DataError(f"{path}: its {_WEIGHTS_FILE} is compressed")
        where = f"{path}: {_CONFIG_FILE}"
        text = archive.read(_CONFIG_FILE)
        name = fileio.parse_json(text, where, OBJECT).get("class_name")
        is_probe = name in _PROBES
        schema = _PROBE_SCHEMA if is_probe else _POOLED_SCHEMA
        record = fileio.parse_json(text, where, schema)
        count = _probe_weights if is_probe else _pooled_weights
        with archive.open(entry) as weights, h5py.File(weights, "r") as stored:
            found = h5_weights(stored)
    require_weights(
        f"{path}: its {_CONFIG_FILE}",
        count(record["config"])
        + (_query_weights(record["config"]) if name == _PROBES[1] else 0),
        "the file",
        found,
        DataError,
    )


def _probe_weights(config: dict[str, Any]) -> int:
    """Weights of the regression that a config asks for."""
    columns = config["num_classes"] or 1
    columns = 1 if columns == 2 else columns
    features = config["hidden_dim"]
    if config["pairs"]:
        features = 1 + 2 * features
    return (config["num_layers"] * features + 1) * columns


def _query_weights(config: dict[str, Any]) -> int:
    """Weights of the queries that a config asks for."""
    return config["num_layers"] * config["hidden_dim"]


def _pooled_weights(config: dict[str, Any]) -> int:
    """Weights of the pooled head that a config asks for, at least."""
    units, hidden_dim = config["units"], config["hidden_dim"] or 1
    layers = config["num_layers"] or 1
    mix = 0
    if config["pooler"] == "scalar_mix":
        mix, layers = layers + 1, 1
    outputs = config.get("num_classes", config.get("num_outputs", 2))
    features = math.prod((config.get("sequence_length") or 1, layers, units))
    return mix + (hidden_dim + 1) * units + (features + 1) * outputs
