"""`bvkeras cache` and `bvkeras verify`: what is done with caches."""

import argparse
import pathlib

from bvkeras.commands import options as shared
from bvkeras.errors import ArgumentError, CacheError

SUMMARY = "look at, check, convert, tidy up and copy caches"
INFO_SUMMARY = "what is in a cache, what it was made from, and its size"
VERIFY_SUMMARY = "read every byte of a cache and name all that is wrong"
CONVERT_SUMMARY = (
    "write a cache in another type, without the model: int8 from bfloat16, "
    "say; stopped, the same command goes on"
)
PRUNE_SUMMARY = (
    "remove what killed writers left in a cache's folder: temporary files, and "
    "shards that the manifest does not name. Finished work stays. With "
    "--layers and --output-dir: leave the cache as it is and write one with "
    "fewer layers"
)
COPY_SUMMARY = (
    "copy a cache to a folder or a bucket, the manifest last, or back from "
    "there; stopped, the same command goes on"
)


def add_cache_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the cache, all that `info` and `verify` take."""
    parser.add_argument(
        "cache",
        metavar="CACHE",
        help="what extract wrote: a folder, or a path such as gs://…",
    )


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras cache convert`."""
    add_cache_argument(parser)
    shared.add_output(parser)
    shared.add_cache_dtype(
        parser, required=True, help="how hidden states shall be stored"
    )


def add_prune_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras cache prune`."""
    add_cache_argument(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only list what would be removed",
    )
    parser.add_argument(
        "--layers",
        type=shared.integers,
        help="hidden states the new cache shall have, as 0,3,6",
    )
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        help="where the cache with fewer layers is written",
    )


def add_copy_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras cache copy`."""
    add_cache_argument(parser)
    parser.add_argument(
        "target", metavar="TARGET", help="a folder, or a path such as gs://…"
    )


def run_info(options: argparse.Namespace) -> None:
    """Prints what the manifest says of a cache.

    Raises:
        CacheError: it cannot be read.
    """
    from bvkeras.cache.info import describe_cache

    for name, value in describe_cache(options.cache).items():
        print(f"{name + ':':24} {value}")


def run_verify(options: argparse.Namespace) -> None:
    """Reads every byte of a cache and prints each problem.

    Raises:
        CacheError: it cannot be read, or something in it is wrong.
    """
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.cache.verify import find_problems

    problems = find_problems(options.cache)
    for problem in problems:
        print(problem)
    if problems:
        raise CacheError(
            f"{options.cache} is damaged: {len(problems)} of what was checked "
            "is wrong"
        )
    cache = HiddenStateCache(options.cache)
    print(f"{_described(cache)}: as written")


def run_convert(options: argparse.Namespace) -> None:
    """Writes a cache in another type and prints what it holds.

    Raises:
        BvkerasError: the cache cannot be read, or the directory holds another.
    """
    from bvkeras.cache.convert import convert_cache

    cache = convert_cache(
        options.cache, options.output_dir, dtype=options.cache_dtype
    )
    print(_described(cache))


def run_prune(options: argparse.Namespace) -> None:
    """Removes what killed writers left, or writes a cache of fewer layers.

    Raises:
        BvkerasError: the options do not go together, or the cache cannot be
            read.
    """
    from bvkeras.cache.convert import convert_cache
    from bvkeras.cache.prune import prune_cache

    if (options.layers is None) != (options.output_dir is None):
        raise ArgumentError("--layers, --output-dir: expected both or none")
    if options.layers is not None:
        if options.dry_run:
            raise ArgumentError("--dry-run: not with --layers")
        cache = convert_cache(
            options.cache, options.output_dir, layers=options.layers
        )
        print(_described(cache))
        return
    removed = prune_cache(options.cache, dry_run=options.dry_run)
    for path, num_bytes in removed:
        print(f"{path}: {num_bytes / 1e6:,.1f} MB")
    verb = "would be removed" if options.dry_run else "removed"
    print(f"{len(removed)} files {verb}")


def run_copy(options: argparse.Namespace) -> None:
    """Copies a cache and prints what it holds.

    Raises:
        BvkerasError: the cache cannot be read, or the target holds another.
    """
    from bvkeras.cache.copy import copy_cache

    print(_described(copy_cache(options.cache, options.target)))


def _described(cache) -> str:
    return f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB"
