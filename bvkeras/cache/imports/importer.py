"""A cache of hidden states that something else computed: `import_cache`."""

import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import bvkeras
from bvkeras import fileio, tasks
from bvkeras.cache.format import (
    DTYPES,
    IMPORTED,
    MANIFEST_FILE,
    Manifest,
    encode_record,
    token_bytes,
)
from bvkeras.cache.imports.imported_examples import (
    ImportedExamples,
    own_examples,
    task_examples,
)
from bvkeras.cache.imports.opening import Paths, open_states
from bvkeras.cache.imports.states_source import StatesSource
from bvkeras.cache.plan import ExtractionPlan
from bvkeras.cache.quantization import as_dtype
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.shards import (
    SHARD_BYTES,
    check_space,
    kind_identity,
    shard_bounds,
    write_shards,
)
from bvkeras.data.examples import Examples
from bvkeras.data.token_examples import TokenExamples
from bvkeras.errors import ArgumentError, DataError, RunError
from bvkeras.progress import progress_bar

# No tokenizer of bvkeras made the tokens.
_TOKENIZER = "none"
# Protocol buffers have no larger messages; some bytes are for the rest.
_MAX_EXAMPLE_BYTES = (1 << 31) - (1 << 20)


def import_cache(
    source: StatesSource | Paths | np.ndarray | Mapping[str, np.ndarray],
    task: str | tasks.TaskSpec,
    directory: str | os.PathLike,
    *,
    encoder: str,
    labels: Any = None,
    ids: Sequence[str] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    split: str = "train",
    layer_names: Sequence[str] | None = None,
    max_tokens: int | None = None,
    dtype: str = "bfloat16",
    columns: Sequence[str] = ("label",),
) -> HiddenStateCache:
    """Makes a cache of hidden states that another program computed.

    Heads, regressions, searches and their reports stand on it as on any
    other; what needs the encoder itself (`export`, `predict`, `serve`) says
    that it is not there. No more than one shard is in memory. Interrupted,
    the same call goes on after the last finished shard; refused, it leaves
    nothing behind.

    Args:
        source: StatesSource, or what `open_states` takes: arrays, or files
            with lengths beside the states.
        task: TaskSpec, or its name. Labels are classes, several a text,
            scores, or tags of words. `label_rows.learn_task` makes one of
            labels; it is kept beside the cache, as `task.json`.
        directory: str or path. The cache's folder.
        encoder: str. What computed the hidden states, as you call it. Caches
            of one name with layers of the same names belong together.
        labels: list or array, one a row, as `label_rows` takes it; or
            Examples or TokenExamples, the task's own, in the order of the
            states, or with ids that the states have, too. Defaults to the
            array or column `label` or `labels` beside the states.
        ids: sequence of str, or None. What to call the examples. Defaults to
            `ids` or `id` beside the states, to the names of files of one
            example each, or to numbers.
        texts: sequence of one or two sequences of str, or None. The texts;
            only their digest is kept.
        split: str. Defaults to `"train"`.
        layer_names: sequence of str, or None. Names of the hidden states of a
            token. Defaults to the names of their tensors, or numbers.
        max_tokens: int, or None. Longer examples are cut. Defaults to the
            width of padded states, or the longest example. A head that has
            weights for each position takes one number alone: give the same to
            all splits.
        dtype: str. As `write_cache`.
        columns: sequence of str. Names of the columns where `labels` are
            `TableRows`.

    Returns:
        HiddenStateCache, opened.

    Raises:
        ArgumentError: an argument has no possible value.
        CacheError: the disk is too small.
        DataError: files, labels or lengths do not fit, or a hidden state is
            NaN, infinite or more than `dtype` can hold; names file and row.
        RunError: another process writes there, or the folder holds another
            cache.

    Example:
        cache = bvkeras.import_cache(
            {"hidden_states": states, "lengths": lengths},
            "sst2",
            "caches/train",
            encoder="my-model",
            labels=labels,
        )
        head = bvkeras.train_head("sst2", cache, "head", epochs=3)
    """
    task = tasks.spec_of(task)
    if not isinstance(source, StatesSource):
        source = open_states(source)
    if dtype not in DTYPES:
        raise ArgumentError(
            f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}"
        )
    if not encoder.strip() or not encoder.isprintable():
        raise ArgumentError(f"encoder: expected a name, got {encoder!r}")
    names = list(source.layer_names if layer_names is None else layer_names)
    if len(names) != source.num_layers or len({*names}) < len(names):
        raise ArgumentError(
            f"layer_names: expected {source.num_layers} different ones for "
            f"{source.name}, got {names}"
        )
    if max_tokens is None:
        max_tokens = source.width or int(source.lengths.max())
    if max_tokens < 1:
        raise ArgumentError(
            f"max_tokens: expected at least 1, got {max_tokens}"
        )
    lengths = np.minimum(source.lengths, max_tokens)
    _check_sizes(source, lengths, dtype)
    if isinstance(labels, Examples | TokenExamples):
        examples = task_examples(task, source, labels)
        split = labels.split
    else:
        examples = own_examples(
            task, source, split, labels, ids, texts, columns
        )
    imported = {
        "encoder": encoder,
        "layers": names,
        "sources": [_origin(source)],
    }
    manifest = Manifest(
        identity={
            "task": task.name,
            "split": split,
            "data": examples.digest,
            "config": {},
            "encoder": fileio.value_digest(
                [IMPORTED, encoder, names, source.hidden_dim]
            ),
            "tokenizer": _TOKENIZER,
            "compute_dtype": source.dtype,
            "max_tokens": max_tokens,
            "layers": list(range(source.num_layers)),
            "dtype": dtype,
            "extras": [] if examples.offsets is None else ["offsets"],
            "converted_from": [],
            **kind_identity(task),
            IMPORTED: imported,
        },
        examples=len(source),
        num_layers=source.num_layers,
        hidden_dim=source.hidden_dim,
        regression=task.is_regression,
        shards=(),
        complete=False,
        seconds=0.0,
        writer=bvkeras.__version__,
    )
    directory = pathlib.Path(directory)
    was_there = directory.exists()
    with fileio.directory_lock(directory):
        try:
            fileio.remove_leftovers(directory)
            if (directory / MANIFEST_FILE).exists():
                found = Manifest.read(directory)
                fileio.require_same(
                    directory, found.identity, manifest.identity
                )
                manifest = found
            if not manifest.complete:
                _write(directory, manifest, source, lengths, examples, task)
        except Exception:
            # While the folder is held: it is nobody else's.
            if not was_there and not (directory / MANIFEST_FILE).exists():
                shutil.rmtree(directory, ignore_errors=True)
            raise
    return HiddenStateCache(directory)


def _write(
    directory: pathlib.Path,
    manifest: Manifest,
    source: StatesSource,
    lengths: np.ndarray,
    examples: ImportedExamples,
    task: tasks.TaskSpec,
) -> None:
    plan = ExtractionPlan.of(
        lengths,
        examples.ids,
        manifest.num_layers,
        manifest.hidden_dim,
        manifest.extras,
    )
    bounds = shard_bounds(lengths * manifest.token_bytes, SHARD_BYTES)
    first = bounds[len(manifest.shards)]
    sizes = plan.example_bytes[manifest.dtype]
    check_space(directory, int(sizes[first:].sum()))
    if task.name not in tasks.names():
        _keep_task(task, directory)
    states = source.read(first)
    try:
        write_shards(
            directory,
            manifest,
            bounds,
            lengths,
            lambda row: _record(
                row, next(states), manifest, source, lengths, examples
            ),
            f"import {manifest.identity['split']}",
        )
    except DataError:
        # It can never be finished, and would refuse what is mended.
        _remove(directory)
        raise


def _record(row, states, manifest, source, lengths, examples) -> bytes:
    length = int(lengths[row])
    values = np.ascontiguousarray(states[:length])
    stored, scales = as_dtype(values, None, manifest.dtype)
    checked = stored if scales is None else scales
    # bfloat16 knows no infinity of its own for NumPy.
    if not np.isfinite(checked.astype(np.float32, copy=False)).all():
        finite = np.isfinite(values.astype(np.float64)).all()
        raise DataError(
            f"{source.where(row)}: "
            + (
                f"a hidden state is more than {manifest.dtype} can hold"
                if finite
                else "a hidden state is NaN or infinite"
            )
        )
    label = examples.labels[row]
    if manifest.num_tags is not None:
        label = label[:length]
    offsets = None
    if examples.offsets is not None:
        offsets = examples.offsets[row][:length]
    return encode_record(
        row, examples.ids[row], label, stored, scales, offsets=offsets
    )


def _check_sizes(source: StatesSource, lengths: np.ndarray, dtype: str) -> None:
    """Refuses an example that no record can hold."""
    each = token_bytes(dtype, source.num_layers, source.hidden_dim)
    row = int(lengths.argmax())
    if lengths[row] * each > _MAX_EXAMPLE_BYTES:
        raise ArgumentError(
            f"max_tokens: {source.where(row)} has {lengths[row]:,} tokens of "
            f"{each:,} bytes, expected at most {_MAX_EXAMPLE_BYTES:,} bytes an "
            "example"
        )


def _origin(source: StatesSource) -> dict[str, Any]:
    """The files that states are from, or the bytes of arrays in memory."""
    digest = hashlib.sha256()
    num_bytes = sum(file.stat().st_size for file in source.files)
    digests = list(_digests(source.files))
    name = pathlib.Path(source.name).name
    if len(source.files) == 1:
        return {
            "name": name,
            "files": 1,
            "num_bytes": num_bytes,
            "sha256": digests[0],
        }
    for file, sha256 in zip(source.files, digests, strict=True):
        digest.update(f"{sha256}  {file.name}\n".encode())
    if not source.files:
        for states in source.read():
            values = np.ascontiguousarray(states)
            digest.update(f"{values.shape}".encode())
            digest.update(values.view(np.uint8).data)
            num_bytes += values.nbytes
    return {
        "name": name,
        "files": len(source.files),
        "num_bytes": num_bytes,
        "sha256": digest.hexdigest(),
    }


def _digests(files: Sequence[pathlib.Path]) -> Iterator[str]:
    """SHA-256 of each file; a bar where there is something to wait for."""
    if len(files) < 2:
        yield from map(fileio.file_digest, files)
        return
    with progress_bar("read", len(files), "files") as bar:
        for file in files:
            yield fileio.file_digest(file)
            bar.advance()


def _keep_task(task: tasks.TaskSpec, directory: pathlib.Path) -> None:
    """Writes the task beside the cache, so that every verb knows it."""
    path = directory / tasks.TASK_FILE
    if path.exists() and tasks.read_task(path) != task:
        raise RunError(f"{path} describes another task; use another folder")
    tasks.write_task(task, path)


def _remove(directory: pathlib.Path) -> None:
    """Removes an import that was begun; the manifest first."""
    (directory / MANIFEST_FILE).unlink(missing_ok=True)
    for shard in directory.glob("hidden_states-*.tfrecord"):
        shard.unlink()
