"""`bvkeras verify`: every byte of a cache, read and checked."""

import argparse

from bvkeras.cli import options as shared
from bvkeras.errors import CacheError
from bvkeras.printable import say

SUMMARY = "read every byte of a cache and name all that is wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the cache, all that `verify` takes."""
    shared.add_cache_path(parser)


def run(options: argparse.Namespace) -> None:
    """Reads every byte of a cache and prints each problem.

    Raises:
        CacheError: it cannot be read, or something in it is wrong.
    """
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.cache.verify import find_problems

    problems = find_problems(options.cache)
    for problem in problems:
        say(problem)
    if problems:
        raise CacheError(
            f"{options.cache} is damaged: {len(problems)} of what was checked "
            "is wrong"
        )
    cache = HiddenStateCache(options.cache)
    say(f"{shared.described_cache(cache)}: as written")
