"""What a hidden-state cache looks like on disk: manifest and records.

A cache is a folder: `manifest.json` and shards
`hidden_states-00000.tfrecord`, each a TFRecord file of `tf.train.Example`
messages, one an example, in the examples' order:

    index          int64      position in the split, from 0
    id             bytes      the example's id, UTF-8
    length         int64      number of tokens n, padding not counted
    label          int64 or float32
    hidden_states  bytes      n x layers x features values, C order, in the
                              manifest's dtype, little-endian
"""

import dataclasses
import pathlib
import sys
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from bvkeras import fileio
from bvkeras.errors import CacheError

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@dataclasses.dataclass(frozen=True)
class Shard:
    """One finished TFRecord file of a cache.

    Attributes:
        file: str. Its name in the cache's folder.
        records: int. Examples in it.
        tokens: int. Tokens in it.
        num_bytes: int. Its size in bytes.
        sha256: str. Digest of its bytes, hexadecimal.
    """

    file: str
    records: int
    tokens: int
    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What is in a cache, and what it was made from.

    Attributes:
        identity: dict. All that decides the contents: backbone and tokenizer
            digests, data digest, task, split, `max_tokens`, `layers`,
            `dtype`. Two caches of equal identity hold equal records.
        examples: int. Examples in the split.
        num_layers: int. Hidden states a token.
        hidden_dim: int. Features a hidden state.
        regression: bool. Labels are float32; otherwise int64 classes.
        shards: tuple of Shard. Those finished so far.
        complete: bool. Whether that is all of them.
        seconds: float. Time extraction has taken so far.
        version: int. Version of this format.
        writer: str. Package version that wrote it.
    """

    identity: dict[str, Any]
    examples: int
    num_layers: int
    hidden_dim: int
    regression: bool
    shards: tuple[Shard, ...]
    complete: bool
    seconds: float
    version: int = FORMAT_VERSION
    writer: str = ""

    def write(self, directory: pathlib.Path) -> None:
        """Writes the manifest, atomically."""
        fileio.write_json(directory / MANIFEST_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, directory: pathlib.Path) -> "Manifest":
        """Reads a cache's manifest.

        Raises:
            CacheError: there is none, or it cannot be understood.
        """
        path = directory / MANIFEST_FILE
        try:
            record = fileio.read_json(path)
            if record["version"] != FORMAT_VERSION:
                raise CacheError(
                    f"{path}: format version {record['version']}, this "
                    f"package reads version {FORMAT_VERSION}"
                )
            shards = tuple(Shard(**shard) for shard in record.pop("shards"))
            return cls(**record, shards=shards)
        except FileNotFoundError:
            raise CacheError(
                f"{directory} is not a hidden-state cache: it has no "
                f"{MANIFEST_FILE}"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, CacheError):
                raise
            raise CacheError(
                f"{path} is not a manifest bvkeras wrote: {error!r}"
            ) from None


def shard_file(number: int) -> str:
    """Name of the shard with that number, from 0."""
    return f"hidden_states-{number:05d}.tfrecord"


def encode_record(
    index: int, example_id: str, label: float | int, hidden_states: np.ndarray
) -> bytes:
    """One example as the bytes of a record.

    Args:
        index: int. Position in the split.
        example_id: str. The example's id.
        label: int or float. Class, or score.
        hidden_states: array `(tokens, layers, features)`.
    """
    if sys.byteorder == "big":
        hidden_states = hidden_states.byteswap()
    if isinstance(label, int):
        label_feature = _ints(label)
    else:
        label_feature = tf.train.Feature(
            float_list=tf.train.FloatList(value=[label])
        )
    feature = {
        "index": _ints(index),
        "id": _bytes(example_id.encode("utf-8")),
        "length": _ints(len(hidden_states)),
        "label": label_feature,
        "hidden_states": _bytes(hidden_states.tobytes()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Otherwise the order of the features changes from process to process.
    return example.SerializeToString(deterministic=True)


def parse_record(record: tf.Tensor, manifest: Manifest) -> dict[str, tf.Tensor]:
    """One record as tensors; for `tf.data`.

    Args:
        record: string scalar.
        manifest: Manifest of the cache.

    Returns:
        dict: `hidden_states` `(tokens, layers, features)` in the cache's
        dtype, `index`, `id`, `length` and `label`, scalars.
    """
    parsed = tf.io.parse_single_example(record, _features(manifest))
    dtype = tf.dtypes.as_dtype(manifest.identity["dtype"])
    values = tf.io.decode_raw(parsed["hidden_states"], dtype)
    parsed["hidden_states"] = tf.reshape(
        values, (-1, manifest.num_layers, manifest.hidden_dim)
    )
    return parsed


def parse_scalar(record: tf.Tensor, name: str, manifest: Manifest) -> tf.Tensor:
    """One scalar of a record, without its hidden states."""
    feature = {name: _features(manifest)[name]}
    return tf.io.parse_single_example(record, feature)[name]


def _features(manifest: Manifest) -> dict[str, tf.io.FixedLenFeature]:
    label_dtype = tf.float32 if manifest.regression else tf.int64
    dtypes = {
        "index": tf.int64,
        "id": tf.string,
        "length": tf.int64,
        "label": label_dtype,
        "hidden_states": tf.string,
    }
    return {
        name: tf.io.FixedLenFeature((), dtype) for name, dtype in dtypes.items()
    }


def _ints(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
