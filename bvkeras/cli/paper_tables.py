"""`recipes/paper_tables.py`: the paper's tables, every task and seed."""

import argparse
import pathlib

from bvkeras import tasks
from bvkeras.cli.options import ENCODERS
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

SUMMARY = "The paper's tables: every task and seed, then a report."

_TASKS = ("mnli", "qnli", "qqp", "rte", "sst2", "mrpc", "cola", "stsb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `recipes/paper_tables.py`."""
    parser.add_argument(
        "--backbone",
        default="bert_base_en_uncased",
        help=f"{ENCODERS} (bert_base_en_uncased)",
    )
    parser.add_argument(
        "--data-dir",
        type=pathlib.Path,
        help="GLUE's official files, or a prepared tensorflow_datasets "
        "directory (downloaded)",
    )
    parser.add_argument(
        "--squad-dir", type=pathlib.Path, help="the same of SQuAD 2.0"
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=tasks.names(),
        default=list(_TASKS),
        metavar="TASK",
        help=f"which tasks, and squad_v2 if it is named ({' '.join(_TASKS)})",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED"
    )
    parser.add_argument(
        "--limit",
        action="append",
        type=_task_value(int, "sst2=8000"),
        default=[],
        metavar="TASK=ROWS",
        help="at most so many training rows of a task; can be repeated",
    )
    parser.add_argument(
        "--epochs",
        action="append",
        type=_task_value(
            lambda text: tuple(map(float, text.split(","))), "rte=1,2"
        ),
        default=[],
        metavar="TASK=STOPS",
        help="a task's stop points of fine-tuning, as rte=1,2; can be repeated",
    )
    for name, default, summary in (
        ("control", True, "also train the encoder one epoch further"),
        ("frozen", True, "also train heads on the encoder as it came"),
        ("keep-caches", False, "leave the hidden states of finished runs"),
    ):
        parser.add_argument(
            f"--{name}",
            action=argparse.BooleanOptionalAction,
            default=default,
            help=summary,
        )
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        default=pathlib.Path("runs/paper"),
        help="where runs and tables are written (runs/paper)",
    )


def run(options: argparse.Namespace) -> None:
    """Makes what runs are missing, and prints the tables of all.

    Raises:
        BvkerasError: an option cannot be used, a run fails, or a finished one
            was made with other options.
    """
    for name, values in (("limit", options.limit), ("epochs", options.epochs)):
        for task, _ in values:
            if task not in options.tasks:
                raise ArgumentError(f"--{name}: {task} is not among --tasks")

    from bvkeras.pipeline.paper_runs import make_paper_runs

    tables = make_paper_runs(
        options.tasks,
        options.backbone,
        options.output_dir,
        seeds=options.seeds,
        limits=dict(options.limit),
        epochs=dict(options.epochs),
        data_dir=options.data_dir,
        squad_dir=options.squad_dir,
        frozen=options.frozen,
        control=options.control,
        keep_caches=options.keep_caches,
        command=options.command,
    )
    say(tables.read_text("utf-8"))


def _task_value(kind, example):
    def read(text):
        task, _, value = text.partition("=")
        try:
            if task not in tasks.names():
                raise ValueError
            return task, kind(value)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"expected a task and a value such as {example}, got {text!r}"
            ) from None

    return read
