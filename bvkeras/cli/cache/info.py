"""`bvkeras cache info`: what the manifest says of a cache."""

import argparse

from bvkeras.cli import options as shared
from bvkeras.printable import say

SUMMARY = "what is in a cache, what it was made from, and its size"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the cache."""
    shared.add_cache_path(parser)


def run(options: argparse.Namespace) -> None:
    """Prints what the manifest says of a cache.

    Raises:
        CacheError: it cannot be read.
    """
    from bvkeras.cache.info import describe_cache

    for name, value in describe_cache(options.cache).items():
        say(f"{name + ':':24} {value}")
