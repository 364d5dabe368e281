"""Copying a cache, up to a bucket or back."""

import hashlib
import os

from bvkeras.cache.format import MANIFEST_FILE, Shard
from bvkeras.cache.pairs import PAIRS_FILE
from bvkeras.cache.reader import (
    MANIFEST_BYTES,
    HiddenStateCache,
    read_manifest,
)
from bvkeras.cache.storage import (
    as_directory,
    file_size,
    join,
    read_all,
)
from bvkeras.cache.target_files import file_chunks, held, writing
from bvkeras.cache.task_file import read_task_file
from bvkeras.errors import CacheError, RunError
from bvkeras.progress import progress_bar
from bvkeras.tasks.description import TASK_FILE


def copy_cache(
    source: str | os.PathLike, target: str | os.PathLike
) -> HiddenStateCache:
    """Copies a finished cache; the manifest comes last.

    So a folder with a manifest is always a whole cache. Each shard is written
    under another name, compared with its SHA-256, and renamed. Interrupted,
    the same call goes on: a shard that is there already is read and kept if
    its bytes are right. The description of an imported cache's task goes with
    it.

    Args:
        source: str or path. A cache, anywhere `tf.io.gfile` reads.
        target: str or path. A folder, anywhere `tf.io.gfile` writes.

    Returns:
        HiddenStateCache, the copy, opened.

    Raises:
        CacheError: the source is damaged; names the shard.
        OSError: something cannot be read or written.
        RunError: the target holds another cache, or is in use.
    """
    cache = HiddenStateCache(source)
    target = as_directory(target)
    with held(target):
        if file_size(join(target, MANIFEST_FILE)) is not None:
            if read_manifest(target) != cache.manifest:
                raise RunError(
                    f"{target} holds another cache; choose another folder, or "
                    "remove it"
                )
        else:
            shards = cache.manifest.shards
            with progress_bar("copy", len(shards), "shards") as bar:
                for shard in shards:
                    if not _is_there(target, shard):
                        _copy_shard(cache, target, shard)
                    bar.advance()
            task = read_task_file(cache)
            if task is not None:
                with writing(target, TASK_FILE) as write:
                    write(task)
            if cache.pairs is not None:
                with writing(target, PAIRS_FILE) as write:
                    write(cache.pairs.to_bytes())
            path = join(cache.directory, MANIFEST_FILE)
            text = read_all(path, MANIFEST_BYTES)
            with writing(target, MANIFEST_FILE) as write:
                write(text)
    return HiddenStateCache(target)


def _copy_shard(cache: HiddenStateCache, target, shard: Shard) -> None:
    path = join(cache.directory, shard.file)
    digest = hashlib.sha256()
    with writing(target, shard.file) as write:
        for chunk in file_chunks(path):
            digest.update(chunk)
            write(chunk)
        # Before it is renamed: a damaged shard never gets its name.
        if digest.hexdigest() != shard.sha256:
            raise CacheError(f"{path}: its bytes are not those written")


def _is_there(target, shard: Shard) -> bool:
    path = join(target, shard.file)
    if file_size(path) != shard.num_bytes:
        return False
    digest = hashlib.sha256()
    for chunk in file_chunks(path):
        digest.update(chunk)
    return digest.hexdigest() == shard.sha256
