"""A cache's records in another type or with fewer layers, without a model."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import bvkeras
from bvkeras import fileio
from bvkeras.cache.format import (
    DTYPES,
    MANIFEST_FILE,
    Manifest,
    encode_record,
)
from bvkeras.cache.quantization import as_dtype
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.shards import write_shards
from bvkeras.cache.storage import is_local
from bvkeras.cache.task_file import read_task_file
from bvkeras.cache.token_arrays import (
    aligned_bytes,
    extra_arrays,
    stored_arrays,
)
from bvkeras.errors import ArgumentError, CacheError
from bvkeras.tasks.description import TASK_FILE


def convert_cache(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    dtype: str | None = None,
    layers: Sequence[int] | None = None,
) -> HiddenStateCache:
    """Writes a cache anew, in another type or with some of its layers.

    The model is not needed. Each shard of the new cache holds the examples
    of the same shard of the old one. Interrupted, the same call goes on after
    the last finished shard; finished, it opens what is there.

    The new cache's identity is the old one's but for `dtype` and `layers`.
    If the type changed, it says what it was before in `converted_from`: int8
    made from bfloat16 is not quite int8 made by an encoder.

    Args:
        source: str or path. A finished cache, anywhere `tf.io.gfile` reads.
        target: str or path. A local folder, new or of the same call.
        dtype: str. `"float32"`, `"float16"`, `"bfloat16"` or `"int8"`.
            Defaults to the source's.
        layers: sequence of int. Hidden states to keep, numbered as the
            encoder does, 0 the embedding output. Defaults to all.

    Returns:
        HiddenStateCache, opened.

    Raises:
        ArgumentError: `dtype` or `layers` cannot be had, both are as in the
            source, or `target` is not local.
        CacheError: the source is damaged, or has a value that the new type
            cannot hold; names the record or the example.
        RunError: `target` holds something else or is in use.
    """
    cache = HiddenStateCache(source)
    if not is_local(target):
        raise ArgumentError(
            f"target: expected a local folder, got {target}; copy it there "
            "with `bvkeras cache copy`"
        )
    target = pathlib.Path(target)
    manifest = _new_manifest(cache, dtype, layers)
    places = [
        cache.manifest.identity["layers"].index(layer)
        for layer in manifest.identity["layers"]
    ]
    with fileio.directory_lock(target):
        fileio.remove_leftovers(target)
        if (target / MANIFEST_FILE).exists():
            found = Manifest.read(target)
            fileio.require_same(target, found.identity, manifest.identity)
            manifest = found
        task = read_task_file(cache)
        if task is not None and not manifest.complete:
            fileio.write_text(target / TASK_FILE, task.decode("utf-8"))
        if cache.pairs is not None and not manifest.complete:
            cache.pairs.write(target)
        if not manifest.complete:
            _Conversion(cache, target, places).run(manifest)
    return HiddenStateCache(target)


def _new_manifest(
    cache: HiddenStateCache,
    dtype: str | None,
    layers: Sequence[int] | None,
) -> Manifest:
    """The manifest of the new cache, with no shard yet."""
    old = cache.manifest
    kept = old.identity["layers"]
    if dtype not in (None, *DTYPES):
        raise ArgumentError(
            f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}"
        )
    layers = list(kept if layers is None else layers)
    if not layers or len(set(layers)) < len(layers) or set(layers) - set(kept):
        raise ArgumentError(
            f"layers: expected some of {kept}, each once, got {layers}"
        )
    dtype = dtype or cache.dtype
    if (dtype, layers) == (cache.dtype, kept):
        raise ArgumentError(
            f"dtype, layers: {cache.directory} has {dtype} and {layers} already"
        )
    identity = {**old.identity, "dtype": dtype, "layers": layers}
    if dtype != cache.dtype:
        before = old.identity["converted_from"]
        identity["converted_from"] = [*before, cache.dtype]
    return dataclasses.replace(
        old,
        identity=identity,
        num_layers=len(layers),
        shards=(),
        complete=False,
        seconds=0.0,
        writer=bvkeras.__version__,
    )


class _Conversion:
    """One cache's way into another folder."""

    def __init__(
        self, cache: HiddenStateCache, target: pathlib.Path, places: list[int]
    ):
        self.cache, self.target, self.places = cache, target, places
        self.layouts = stored_arrays(cache.manifest)
        self.layouts |= extra_arrays(cache.manifest)

    def run(self, manifest: Manifest) -> None:
        old = self.cache.manifest
        done = len(manifest.shards)
        self._check_resumed(manifest, old.shards[:done])
        bounds = [0, *itertools.accumulate(s.records for s in old.shards)]
        write_shards(
            self.target,
            manifest,
            bounds,
            self.cache.record_index.lengths,
            lambda row: self._record(row, manifest),
            "convert",
        )

    def _check_resumed(self, manifest, shards):
        """Two caches of equal identity can differ in their shards' sizes."""
        for new, old in zip(manifest.shards, shards, strict=True):
            if (new.records, new.tokens) != (old.records, old.tokens):
                raise CacheError(
                    f"{self.target} was begun from another cache than "
                    f"{self.cache.directory}; remove it to start anew"
                )

    def _record(self, row: int, manifest: Manifest) -> bytes:
        index = self.cache.record_index
        length = int(index.lengths[row])
        arrays: dict[str, Any] = {
            name: aligned_bytes(length * layout.item_bytes)
            for name, layout in self.layouts.items()
        }
        self.cache.record_reader.read([(row, arrays)])
        arrays = {
            name: self.layouts[name].items(array).view(self.layouts[name].dtype)
            for name, array in arrays.items()
        }
        values = arrays.pop("hidden_states")[:, self.places]
        scales = arrays.pop("scales", None)
        if scales is not None:
            scales = scales[:, self.places]
        name = index.ids[row].decode("utf-8")
        if manifest.dtype != self.cache.dtype:
            values, scales = as_dtype(values, scales, manifest.dtype)
            checked = values if scales is None else scales
            if not np.isfinite(checked.astype(np.float32)).all():
                raise CacheError(
                    f"{self.cache.directory}: example {name!r} has a hidden "
                    f"state that {manifest.dtype} cannot hold"
                )
        if self.cache.manifest.spans:
            arrays["context"] = int(index.contexts[row])
        label = index.labels[row]
        if self.cache.manifest.num_tags is not None:
            label = label[:length]
        return encode_record(
            row, name, label.tolist(), values, scales, **arrays
        )
