"""`bvkeras describe`: what a table holds, before anything is trained."""

import argparse
import pathlib

from bvkeras import tasks
from bvkeras.cli import options as shared
from bvkeras.cli import table
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

SUMMARY = (
    "read a table of your own, say what is in it and what is wrong with it, "
    "and write the task that it makes"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras describe`."""
    table.add_table(parser)
    shared.add_backbone(parser)
    parser.add_argument("--max-tokens", type=int, help="longer texts are cut")
    shared.add_seed(parser)
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        help="where task.json is written, which every verb takes for a task",
    )


def run(options: argparse.Namespace) -> None:
    """Prints what was found, and writes the task where asked to.

    Raises:
        BvkerasError: the table or the encoder cannot be used.
    """
    if options.train is None:
        raise ArgumentError("--train: expected a table, got none")
    described = table.describe(
        options, options.backbone or tasks.TABLE_BACKBONE
    )
    if options.output_dir is not None:
        path = options.output_dir / tasks.TASK_FILE
        tasks.write_task(described.spec, path)
        say(f"written: {path}")
