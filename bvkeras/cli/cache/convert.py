"""`bvkeras cache convert`: a cache in another type."""

import argparse

from bvkeras.cli import options as shared
from bvkeras.printable import say

SUMMARY = (
    "write a cache in another type, without the model: int8 from bfloat16, "
    "say; stopped, the same command goes on"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras cache convert`."""
    shared.add_cache_path(parser)
    shared.add_output(parser)
    shared.add_cache_dtype(
        parser, required=True, help="how hidden states shall be stored"
    )


def run(options: argparse.Namespace) -> None:
    """Writes a cache in another type and prints what it holds.

    Raises:
        BvkerasError: the cache cannot be read, or the directory holds another.
    """
    from bvkeras.cache.convert import convert_cache

    cache = convert_cache(
        options.cache, options.output_dir, dtype=options.cache_dtype
    )
    say(shared.described_cache(cache))
