"""Writing every hidden state of a split to disk, once."""

import dataclasses
import os
import pathlib
import shutil
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

import bvkeras
from bvkeras import fileio
from bvkeras.cache.format import (
    DTYPES,
    MANIFEST_FILE,
    Manifest,
    Shard,
    encode_record,
    shard_file,
)
from bvkeras.cache.quantization import quantize
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.data.examples import Examples
from bvkeras.data.token_batches import (
    TokenizedExamples,
    token_budget_batches,
    tokenize_examples,
)
from bvkeras.encoder import Encoder
from bvkeras.errors import ArgumentError, CacheError, DataError
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec

_SHARD_BYTES = 64 << 20
_SPARE_BYTES = 64 << 20


def write_cache(
    encoder: Encoder,
    task: TaskSpec,
    examples: Examples,
    directory: str | os.PathLike,
    *,
    max_tokens: int = 128,
    layers: Sequence[int] | None = None,
    dtype: str = "bfloat16",
    max_batch_tokens: int = 4096,
) -> HiddenStateCache:
    """Runs the encoder over a split and keeps all hidden states of its tokens.

    Padding is never written, and the order of the examples does not depend
    on how they were batched. Interrupted, the same call goes on after the
    last finished shard; finished, it opens what is there.

    Args:
        encoder: Encoder. Open it with `dropout=0.0`: keras-hub takes a slower
            path for attention otherwise, even in inference.
        task: TaskSpec. Says whether labels are classes or scores.
        examples: Examples. The split.
        directory: str or path. The cache's folder.
        max_tokens: int. Longer examples are cut. Defaults to `128`.
        layers: sequence of ints. Hidden states to keep, 0 the embedding
            output. Defaults to all.
        dtype: str. `"float32"`, `"float16"`, `"bfloat16"` or `"int8"`: how
            values are stored. Defaults to `"bfloat16"`, half the size.
        max_batch_tokens: int. Most tokens a batch has, padding included.

    Returns:
        HiddenStateCache, opened.

    Raises:
        ArgumentError: `dtype` is none of the four, or no example is given.
        CacheError: the folder holds another cache, or the disk is too small.
        DataError: a hidden state is NaN or infinite; names the example.
    """
    if not len(examples):
        raise ArgumentError("examples: expected at least one, got none")
    if dtype not in DTYPES:
        raise ArgumentError(
            f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}"
        )
    directory = pathlib.Path(directory)
    extractor = HiddenStates(encoder.backbone, layers=layers, as_list=True)
    num_layers = len(extractor.layer_indices)
    identity = {
        "task": task.name,
        "split": examples.split,
        "data": examples.digest,
        **encoder.identity(),
        "max_tokens": max_tokens,
        "layers": list(extractor.layer_indices),
        "dtype": dtype,
        "extras": [],
    }
    manifest = Manifest(
        identity=identity,
        examples=len(examples),
        num_layers=num_layers,
        hidden_dim=encoder.hidden_dim,
        regression=task.is_regression,
        shards=(),
        complete=False,
        seconds=0.0,
        writer=bvkeras.__version__,
    )
    with fileio.directory_lock(directory):
        fileio.remove_leftovers(directory)
        if (directory / MANIFEST_FILE).exists():
            found = Manifest.read(directory)
            fileio.require_same(directory, found.identity, identity)
            manifest = found
        if not manifest.complete:
            _extract(
                extractor,
                examples,
                tokenize_examples(examples, encoder, max_tokens),
                directory,
                manifest,
                max_batch_tokens,
            )
    return HiddenStateCache(directory)


def _extract(
    extractor: HiddenStates,
    examples: Examples,
    tokens: TokenizedExamples,
    directory: pathlib.Path,
    manifest: Manifest,
    max_batch_tokens: int,
) -> None:
    token_bytes = manifest.token_bytes
    bounds = _shard_bounds(tokens.lengths * token_bytes)
    done = len(manifest.shards)
    _check_space(
        directory,
        int(tokens.lengths[bounds[done] :].sum()) * token_bytes,
    )
    forward = _forward(extractor, manifest.identity["dtype"])
    shards, earlier = list(manifest.shards), manifest.seconds
    began = time.monotonic()
    label = f"extract {examples.split}"
    with progress_bar(
        label, len(examples), "examples", done=bounds[done]
    ) as bar:
        for number in range(done, len(bounds) - 1):
            first, last = bounds[number], bounds[number + 1]
            rows = np.arange(first, last)
            records: dict[int, bytes] = {}
            for batch in token_budget_batches(
                tokens.lengths[rows], max_batch_tokens
            ):
                states, scales = forward(tokens.batch(rows[batch]))
                states, scales = states.numpy(), scales.numpy()
                for place, row in enumerate(rows[batch]):
                    length = tokens.lengths[row]
                    records[row] = _record(
                        row,
                        examples,
                        states[place, :length],
                        scales[place, :length] if scales.size else None,
                    )
                bar.advance(len(batch))
            shards.append(
                _write_shard(
                    directory,
                    number,
                    [records[row] for row in rows],
                    int(tokens.lengths[rows].sum()),
                )
            )
            manifest = dataclasses.replace(
                manifest,
                shards=tuple(shards),
                complete=number == len(bounds) - 2,
                seconds=earlier + time.monotonic() - began,
            )
            manifest.write(directory)


def _forward(extractor: HiddenStates, dtype: str):
    spec = tf.TensorSpec((None, None), tf.int32)

    @tf.function(
        input_signature=[
            {"token_ids": spec, "segment_ids": spec, "padding_mask": spec}
        ]
    )
    def forward(inputs):
        states = extractor(inputs, training=False)
        if dtype == "int8":
            rounded = [quantize(state) for state in states]
            values, scales = zip(*rounded, strict=True)
            return tf.stack(values, axis=2), tf.stack(scales, axis=2)
        # Rounded before they are stacked: half the bytes to copy.
        values = [tf.cast(state, dtype) for state in states]
        return tf.stack(values, axis=2), tf.zeros((0,), tf.float32)

    return forward


def _record(
    row: int,
    examples: Examples,
    hidden_states: np.ndarray,
    scales: np.ndarray | None,
) -> bytes:
    checked = hidden_states if scales is None else scales
    if not np.isfinite(checked.astype(np.float32)).all():
        raise DataError(
            f"{examples.task} {examples.split}, example "
            f"{examples.ids[row]!r}: a hidden state is NaN or infinite"
        )
    return encode_record(
        int(row),
        examples.ids[row],
        examples.labels[row].item(),
        hidden_states,
        scales,
    )


def _write_shard(
    directory: pathlib.Path, number: int, records: list[bytes], tokens: int
) -> Shard:
    path = directory / shard_file(number)
    with fileio.atomic_path(path) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in records:
                writer.write(record)
        num_bytes = temporary.stat().st_size
        digest = fileio.file_digest(temporary)
    return Shard(path.name, len(records), tokens, num_bytes, digest)


def _shard_bounds(example_bytes: np.ndarray) -> list[int]:
    """First example of each shard, and the number of examples behind them."""
    starts = np.concatenate([[0], np.cumsum(example_bytes)[:-1]])
    shard_of = starts // _SHARD_BYTES
    firsts = np.flatnonzero(np.diff(shard_of, prepend=-1))
    return [*firsts.tolist(), len(example_bytes)]


def _check_space(directory: pathlib.Path, num_bytes: int) -> None:
    free = shutil.disk_usage(directory).free
    if num_bytes + _SPARE_BYTES > free:
        raise CacheError(
            f"{directory}: the hidden states need {num_bytes / 1e9:.1f} GB "
            f"and the disk has {free / 1e9:.1f} GB free"
        )
