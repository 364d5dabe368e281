"""What all that write a cache share: shards' bounds, and shard after shard."""

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Callable, Sequence

import numpy as np

from bvkeras.cache.format import NUM_LABELS, NUM_TAGS, Manifest, Shard
from bvkeras.cache.shard_file import write_shard
from bvkeras.errors import CacheError
from bvkeras.progress import progress_bar
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec

SHARD_BYTES = 128 << 20
_SPARE_BYTES = 64 << 20


def shard_bounds(
    example_bytes: np.ndarray, shard_bytes: int = SHARD_BYTES
) -> list[int]:
    """First example of each shard, and the number of examples after them.

    Args:
        example_bytes: int array `(examples,)`. What each example takes.
        shard_bytes: int. A shard is closed when it has so many.
    """
    starts = np.concatenate([[0], np.cumsum(example_bytes)[:-1]])
    shard_of = starts // shard_bytes
    firsts = np.flatnonzero(np.diff(shard_of, prepend=-1))
    return [*firsts.tolist(), len(example_bytes)]


def check_space(directory: pathlib.Path, num_bytes: int) -> None:
    """Refuses to begin what the disk cannot hold.

    Raises:
        CacheError: it is too small.
    """
    free = shutil.disk_usage(directory).free
    if num_bytes + _SPARE_BYTES > free:
        raise CacheError(
            f"{directory}: the hidden states need {num_bytes / 1e9:.1f} GB "
            f"and the disk has {free / 1e9:.1f} GB free"
        )


def kind_identity(task: TaskSpec) -> dict[str, int]:
    """What the identity of a cache of some kinds has besides."""
    name = {Kind.LABELS: NUM_LABELS, Kind.TOKENS: NUM_TAGS}.get(task.kind)
    return {name: task.num_labels} if name else {}


def write_shards(
    directory: pathlib.Path,
    manifest: Manifest,
    bounds: Sequence[int],
    lengths: np.ndarray,
    record: Callable[[int], bytes],
    label: str,
) -> None:
    """Writes the shards that a manifest does not name yet, one by one.

    Args:
        directory: path. The cache's folder, which this process holds.
        manifest: Manifest. With the shards that are finished.
        bounds: sequence of int. What `shard_bounds` gave.
        lengths: int array `(examples,)`. Tokens of each example.
        record: callable. Gives the record of an example, in their order.
        label: str. What the progress bar says.

    Raises:
        OSError: a file cannot be written; names it.
    """
    done = len(manifest.shards)
    earlier, began = manifest.seconds, time.monotonic()
    with progress_bar(label, bounds[-1], "examples", done=bounds[done]) as bar:
        for number in range(done, len(bounds) - 1):
            first, last = bounds[number : number + 2]
            records = []
            for row in range(first, last):
                records.append(record(row))
                bar.advance()
            shard = write_shard(
                directory, number, records, int(lengths[first:last].sum())
            )
            seconds = earlier + time.monotonic() - began
            manifest = with_shard(directory, manifest, shard, bounds, seconds)


def with_shard(
    directory: pathlib.Path,
    manifest: Manifest,
    shard: Shard,
    bounds: Sequence[int],
    seconds: float,
) -> Manifest:
    """Writes the manifest with one shard more.

    Args:
        directory: path. The cache's folder.
        manifest: Manifest. With the shards before it.
        shard: Shard. Written already.
        bounds: sequence of int. What `shard_bounds` gave; with the last of
            its shards the cache is complete.
        seconds: float. What all shards so far took.

    Raises:
        OSError: it cannot be written.
    """
    shards = (*manifest.shards, shard)
    manifest = dataclasses.replace(
        manifest,
        shards=shards,
        complete=len(shards) == len(bounds) - 1,
        seconds=seconds,
    )
    manifest.write(directory)
    return manifest
