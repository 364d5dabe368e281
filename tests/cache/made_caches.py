"""Caches of random numbers, in any type, without an encoder."""

import pathlib

import numpy as np
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.format import (
    DTYPES,
    Manifest,
    Shard,
    encode_record,
    shard_file,
)
from bvkeras.cache.quantization import quantize

LENGTHS = (3, 7, 1, 12, 5, 5, 2, 9, 16, 4, 6)


def made_arrays(lengths=LENGTHS, num_layers=3, hidden_dim=5, seed=0):
    """Float32 hidden states `(tokens, layers, features)` of each example."""
    random = np.random.default_rng(seed)
    return [
        random.normal(size=(n, num_layers, hidden_dim)).astype(np.float32)
        for n in lengths
    ]


def make_cache(
    directory,
    *,
    dtype="float32",
    lengths=LENGTHS,
    shard_records=4,
    extras=(),
    regression=False,
    num_labels=None,
    num_layers=3,
    hidden_dim=5,
    max_tokens=16,
):
    """Writes a cache of `made_arrays`; gives its path."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    records = [
        _record(
            index,
            states,
            dtype,
            extras,
            _label(index, regression, num_labels),
        )
        for index, states in enumerate(
            made_arrays(lengths, num_layers, hidden_dim)
        )
    ]
    shards = []
    for first in range(0, len(records), shard_records):
        shards.append(
            write_shard(
                directory,
                len(shards),
                records[first : first + shard_records],
                sum(lengths[first : first + shard_records]),
            )
        )
    identity = {
        "task": "stsb" if regression else "sst2",
        "split": "train",
        "data": "d" * 64,
        "config": {"hidden_act": "gelu"},
        "encoder": "e" * 64,
        "tokenizer": "t" * 64,
        "compute_dtype": "float32",
        "max_tokens": max_tokens,
        "layers": list(range(num_layers)),
        "dtype": dtype,
        "extras": list(extras),
        "converted_from": [],
        **({"num_labels": num_labels} if num_labels else {}),
    }
    Manifest(
        identity,
        len(records),
        num_layers,
        hidden_dim,
        regression,
        tuple(shards),
        complete=True,
        seconds=1.5,
    ).write(directory)
    return directory


def write_shard(directory, number, records, tokens):
    """Writes records as shard `number`; gives its line of the manifest."""
    path = directory / shard_file(number)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return Shard(
        path.name,
        len(records),
        tokens,
        path.stat().st_size,
        fileio.file_digest(path),
    )


def made_extras(index, length):
    """The token ids and offsets of an example."""
    ends = np.arange(length) * 3 + index
    offsets = np.stack([ends, ends + 2], axis=1)
    offsets[0] = -1
    return {"token_ids": ends * 100 + 1, "offsets": offsets}


def _label(index, regression, num_labels):
    if num_labels:
        return [float(index % (place + 2) == 0) for place in range(num_labels)]
    return index / 4 if regression else index % 3


def _record(index, states, dtype, extras, label):
    scales = None
    if dtype == "int8":
        values, scales = (array.numpy() for array in quantize(states))
    else:
        values = states.astype(DTYPES[dtype])
    kept = made_extras(index, len(states))
    return encode_record(
        index,
        f"zoë-{index}",
        label,
        values,
        scales,
        **{name: kept[name] for name in extras},
    )
