"""Checking every byte of a hidden-state cache."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.errors import CacheError


def verify_cache(directory: str | os.PathLike) -> HiddenStateCache:
    """Opens a cache and compares each shard's SHA-256 with the manifest's.

    Args:
        directory: str or path. The cache's folder.

    Raises:
        CacheError: it cannot be opened, or a shard's bytes have changed.
    """
    cache = HiddenStateCache(directory)
    for shard in cache.manifest.shards:
        path = cache.directory / shard.file
        if fileio.file_digest(path) != shard.sha256:
            raise CacheError(f"{path}: its bytes are not those written")
    records = sum(shard.records for shard in cache.manifest.shards)
    if records != len(cache):
        raise CacheError(
            f"{directory}: the shards hold {records} examples, the manifest "
            f"says {len(cache)}"
        )
    return cache


@contextlib.contextmanager
def naming_damage(cache: HiddenStateCache) -> Iterator[None]:
    """Gives damage that TensorFlow meets while reading the shard's name.

    Args:
        cache: HiddenStateCache. What is read in the `with` block.

    Raises:
        CacheError: a shard's bytes have changed.
    """
    try:
        yield
    except tf.errors.DataLossError:
        verify_cache(cache.directory)
        raise
