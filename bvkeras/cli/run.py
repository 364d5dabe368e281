"""`bvkeras run`, and every task's recipe: all steps, one after the other."""

import argparse
import pathlib
from typing import TYPE_CHECKING

from bvkeras import tasks
from bvkeras.cli import options as shared
from bvkeras.cli import table
from bvkeras.cli import tune as tuning
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

if TYPE_CHECKING:
    from bvkeras.pipeline.step import Step

SUMMARY = "all steps on one task, and the comparison"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras run`."""
    shared.add_task(parser, nargs="?")
    table.add_table(parser)
    add_recipe_arguments(parser)


def add_recipe_arguments(
    parser: argparse.ArgumentParser, task: str | None = None
) -> None:
    """Adds the options of a recipe, which are those of `run` but the task.

    Args:
        parser: argparse.ArgumentParser.
        task: str or None. The recipe's, for the defaults that help names.
    """
    shared.add_backbone(parser, task)
    shared.add_data(parser)
    shared.add_output(parser, f"runs/{task or 'TASK'}")
    shared.add_finetune_settings(parser)
    shared.add_head_settings(parser)
    shared.add_pairs(parser)
    shared.add_windows(parser)
    shared.add_cache_dtype(parser)
    parser.add_argument(
        "--extraction-dtype",
        choices=shared.INFERENCE_DTYPES,
        help="what the encoder computes hidden states in (float32)",
    )
    parser.add_argument(
        "--frozen",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also train a head, and a regression, on the encoder as it came",
    )
    parser.add_argument(
        "--control",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="also train the encoder one epoch further",
    )
    shared.add_threshold_choice(parser)
    parser.add_argument(
        "--tune",
        type=int,
        metavar="TRIALS",
        help="then search for a better head on the last fine-tuned encoder",
    )
    tuning.add_finalist_arguments(parser)
    shared.add_seed(parser)
    shared.add_limit(parser)
    parser.add_argument(
        "--plan",
        action="store_true",
        help="only print the steps, which of them are finished, and what each "
        "writes",
    )


def run(options: argparse.Namespace) -> None:
    """Makes the run, prints its table and where all is.

    Raises:
        BvkerasError: an argument, the data or the encoder cannot be used, or
            the directory holds a run with other settings.
    """
    if hasattr(options, "train"):
        table.check_table_options(options)

    from bvkeras import pipeline
    from bvkeras.reports import terminal

    final = tuning.finalist_settings(options)
    if final and options.tune is None:
        raise ArgumentError(
            f"--{next(iter(final)).replace('_', '-')}: expected with --tune"
        )
    notes = []
    # A recipe has no table.
    if getattr(options, "train", None) is not None:
        backbone = options.backbone or tasks.TABLE_BACKBONE
        described = table.describe(options, backbone)
        options.task, notes = described.spec, described.findings.notes
    task = shared.task_of(options)
    if options.tune is not None:
        tuning.require_searchable(task)
    output_dir = options.output_dir or pathlib.Path("runs") / options.task.name
    arguments = (
        task,
        options.backbone or options.task.backbone,
        output_dir,
    )
    settings = {
        "data_dir": options.data_dir,
        "frozen": options.frozen,
        "control": options.control,
        "skip_bad": options.skip_bad,
        "dev_threshold": options.dev_threshold,
        "threshold_metric": options.threshold_metric,
        **shared.settings_of(options),
    }
    if options.plan:
        _print_plan(pipeline.check_run(*arguments, **settings), output_dir)
        return
    comparison = pipeline.run(
        *arguments, notes=notes, command=options.command, **settings
    )
    terminal.print_table(comparison)
    say("Written:")
    written = {
        "report": "report.md",
        "report, machine-readable": "report.json",
        **comparison.files,
    }
    for name, path in written.items():
        say(f"  {name}: {output_dir / path}")
    if options.tune is not None:
        tuning.tune_run(task, output_dir, options.tune, **final)


def _print_plan(steps: "list[Step]", output_dir: pathlib.Path) -> None:
    from bvkeras.terminal_table import print_table

    rows = [
        (
            "finished" if step.is_finished else "to do",
            step.title,
            str(step.outputs[-1].relative_to(output_dir)),
        )
        for step in steps
    ]
    print_table(("", "step", "last file it writes"), rows, numbers=())
