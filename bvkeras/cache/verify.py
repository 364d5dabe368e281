"""Checking every byte of a hidden-state cache."""

import collections
import concurrent.futures
import contextlib
import os
import re
import threading
from collections.abc import Iterator

import tensorflow as tf

from bvkeras.cache.pairs import PAIRS_FILE, CachePairs
from bvkeras.cache.reader import HiddenStateCache, read_manifest
from bvkeras.cache.shard_check import Problem, ShardCheck
from bvkeras.cache.storage import as_directory, join, list_files
from bvkeras.errors import CacheError
from bvkeras.progress import progress_bar

_SHARD_NAME = re.compile(r"hidden_states-\d+\.tfrecord")


def find_problems(directory: str | os.PathLike) -> list[Problem]:
    """Reads every byte of a cache and lists all that is wrong.

    Checked are the manifest; that the folder has the shards it names and no
    other; each shard's size, SHA-256 and number of records and tokens; of
    each record both CRCs, whether it can be decoded, its index, length,
    label, id and sizes, and whether every value and scale is finite; and
    that no id comes twice; of pairs apart, their file. Shards are read in
    parallel, one a core.

    Args:
        directory: str or path. The cache's folder, anywhere `tf.io.gfile`
            reads.

    Returns:
        list of Problem, in the order of the files; empty for a whole cache.

    Raises:
        CacheError: there is no manifest, or it cannot be understood, which
            leaves nothing to compare with.
    """
    directory = as_directory(directory)
    manifest = read_manifest(directory)
    checks, first = [], 0
    for shard in manifest.shards:
        checks.append(ShardCheck(directory, manifest, shard, first))
        first += shard.records
    problems = []
    if not manifest.complete:
        problems.append(
            Problem(
                str(directory),
                None,
                f"unfinished, {first} of {manifest.examples} examples are "
                "there: the same extraction goes on",
            )
        )
    _run(checks, first)
    for check in checks:
        problems += check.problems
    problems += _repeated_ids(directory, checks)
    if manifest.pairs is not None:
        try:
            CachePairs.read(directory, manifest)
        except CacheError as error:
            path = str(join(directory, PAIRS_FILE))
            what = str(error).removeprefix(path).lstrip(": ")
            problems.append(Problem(path, None, what))
    named = {shard.file for shard in manifest.shards}
    for name in sorted(list_files(directory)):
        if _SHARD_NAME.fullmatch(name) and name not in named:
            path = str(join(directory, name))
            problems.append(Problem(path, None, "is not in the manifest"))
    return problems


def verify_cache(directory: str | os.PathLike) -> HiddenStateCache:
    """Opens a cache after every byte of it has been checked.

    Args:
        directory: str or path. The cache's folder, anywhere `tf.io.gfile`
            reads.

    Raises:
        CacheError: what `find_problems` found first, and how much more.
    """
    problems = find_problems(directory)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CacheError(f"{problems[0]}{more}")
    return HiddenStateCache(directory)


@contextlib.contextmanager
def naming_damage(cache: HiddenStateCache) -> Iterator[None]:
    """Gives damage that is met inside TensorFlow the shard's name.

    Args:
        cache: HiddenStateCache. What is read in the `with` block.

    Raises:
        CacheError: a shard's bytes have changed.
        OSError: a shard cannot be read.
    """
    cache.failure = None
    try:
        yield
    except tf.errors.OpError as error:
        raise cache.damage_at(error) from None


def _run(checks: list[ShardCheck], records: int) -> None:
    stop = threading.Event()
    workers = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    with progress_bar("verify", records, "examples") as bar:
        try:
            jobs = [workers.submit(check.run, stop) for check in checks]
            for check, job in zip(checks, jobs, strict=True):
                job.result()
                bar.advance(check.shard.records)
        finally:
            stop.set()
            workers.shutdown(cancel_futures=True)


def _repeated_ids(directory, checks: list[ShardCheck]) -> list[Problem]:
    counts = collections.Counter(name for check in checks for name in check.ids)
    (name, count), *_ = counts.most_common(1) or [(b"", 1)]
    if count == 1:
        return []
    shown = name.decode("utf-8", "replace")
    return [
        Problem(str(directory), None, f"{count} examples have the id {shown!r}")
    ]
