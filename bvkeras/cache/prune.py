"""Removing from a cache's folder what is no part of the cache."""

import os
import pathlib
import re

from bvkeras import fileio
from bvkeras.cache.reader import read_manifest
from bvkeras.cache.shared_writing import is_shared
from bvkeras.cache.storage import is_local
from bvkeras.errors import ArgumentError, RunError

_SHARD_NAME = re.compile(r"hidden_states-\d+\.tfrecord")


def prune_cache(
    directory: str | os.PathLike, *, dry_run: bool = False
) -> list[tuple[pathlib.Path, int]]:
    """Removes what killed writers left in a cache's folder.

    That is temporary files, and shards that the manifest does not name: a
    writer was killed between the two. The records of the cache, finished or
    not, and files of other names stay.

    Args:
        directory: str or path. A local cache.
        dry_run: bool. Only say what would be removed. Defaults to `False`.

    Returns:
        list of paths and their sizes in bytes.

    Raises:
        ArgumentError: the folder is not local.
        CacheError: it has no manifest, or one that cannot be understood:
            nothing is removed.
        RunError: another process writes there, or several began to.
    """
    if not is_local(directory):
        raise ArgumentError(f"expected a local cache, got {directory}")
    directory = pathlib.Path(directory)
    manifest = read_manifest(directory)
    with fileio.directory_lock(directory):
        # Read again: a writer may have finished in between.
        manifest = read_manifest(directory)
        if is_shared(directory) and not manifest.complete:
            raise RunError(
                f"{directory}: several processes write, or wrote, this cache; "
                "finish it with the command that began it"
            )
        named = {shard.file for shard in manifest.shards}
        found = [
            (path, _bytes(path))
            for path in sorted(directory.iterdir())
            if fileio.is_leftover(path)
            or (_SHARD_NAME.fullmatch(path.name) and path.name not in named)
        ]
        if not dry_run:
            fileio.remove_leftovers(directory)
            for path, _ in found:
                path.unlink(missing_ok=True)
    return found


def _bytes(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files)
