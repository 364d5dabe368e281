"""`bvkeras export`: finished runs as one SavedModel."""

import argparse
import pathlib

from bvkeras.cli import options as shared
from bvkeras.printable import say

SUMMARY = (
    "write finished runs as one SavedModel for serving: text in, answer out"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras export`."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        type=pathlib.Path,
        help="what run wrote, or a snapshot of finetune, or what train wrote",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=pathlib.Path,
        required=True,
        help="gets a new numbered version, DIR/1 the first time",
    )
    parser.add_argument(
        "--system",
        choices=shared.SYSTEMS,
        default="head",
        help="what of a run: the pooled head on the fine-tuned encoder, the "
        "one on the frozen encoder, the encoder's own head, or the regression "
        "on either encoder (head)",
    )
    parser.add_argument(
        "--epochs", type=float, help="stop point of fine-tuning (the last)"
    )
    parser.add_argument(
        "--encoder",
        help="the encoder of frozen heads and of what train wrote: "
        f"{shared.ENCODERS} (the name in the run's report)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="type of the encoder's weights and products (float32)",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="put the heads beside those of the newest version in DIR, in its "
        "type; that version stays as it is",
    )


def run(options: argparse.Namespace) -> None:
    """Exports, and prints where to.

    Raises:
        BvkerasError: an argument or a run cannot be used.
    """
    from bvkeras.serving.runs import export_runs

    path = export_runs(
        options.runs,
        options.output,
        system=options.system,
        epochs=options.epochs,
        encoder=options.encoder,
        dtype=options.dtype,
        add=options.add,
    )
    num_bytes = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    say(f"{path}: {num_bytes / 1e6:,.1f} MB")
