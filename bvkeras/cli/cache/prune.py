"""`bvkeras cache prune`: what killed writers left, or fewer layers."""

import argparse
import pathlib

from bvkeras.cli import options as shared
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

SUMMARY = (
    "remove what killed writers left in a cache's folder: temporary files, and "
    "shards that the manifest does not name. Finished work stays. With "
    "--layers and --output-dir: leave the cache as it is and write one with "
    "fewer layers"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras cache prune`."""
    shared.add_cache_path(parser)
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


def run(options: argparse.Namespace) -> None:
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
        say(shared.described_cache(cache))
        return
    removed = prune_cache(options.cache, dry_run=options.dry_run)
    for path, num_bytes in removed:
        say(f"{path}: {num_bytes / 1e6:,.1f} MB")
    verb = "would be removed" if options.dry_run else "removed"
    say(f"{len(removed)} files {verb}")
