"""`bvkeras inspect`: what is in an export, without loading it."""

import argparse
import pathlib

from bvkeras.errors import DataError
from bvkeras.printable import say

SUMMARY = (
    "list an export's signatures, operations and sizes, and what is unusual, "
    "without loading it"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras inspect`."""
    parser.add_argument(
        "directory",
        metavar="DIR",
        type=pathlib.Path,
        help="what export wrote: all versions (the newest is taken) or one",
    )


def run(options: argparse.Namespace) -> None:
    """Prints what is in an export.

    Raises:
        DataError: it cannot be read, or something in it is unusual.
    """
    from bvkeras.serving.inspection import format_inspection, inspect

    inspection = inspect(options.directory)
    say(format_inspection(inspection), end="")
    if inspection.unusual:
        raise DataError(
            f"{inspection.directory} has {len(inspection.unusual)} unusual "
            "parts; do not load it unless you know why"
        )
