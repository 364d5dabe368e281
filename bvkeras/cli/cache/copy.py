"""`bvkeras cache copy`: a cache to another place."""

import argparse

from bvkeras.cli import options as shared
from bvkeras.printable import say

SUMMARY = (
    "copy a cache to a folder or a bucket, the manifest last, or back from "
    "there; stopped, the same command goes on"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras cache copy`."""
    shared.add_cache_path(parser)
    parser.add_argument(
        "target", metavar="TARGET", help="a folder, or a path such as gs://…"
    )


def run(options: argparse.Namespace) -> None:
    """Copies a cache and prints what it holds.

    Raises:
        BvkerasError: the cache cannot be read, or the target holds another.
    """
    from bvkeras.cache.copy import copy_cache

    say(shared.described_cache(copy_cache(options.cache, options.target)))
