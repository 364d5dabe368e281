"""The runs behind the paper's tables: every task and seed, then a report."""

import argparse
import pathlib
import shutil
import sys
from typing import Any

from bvkeras import fileio, tasks
from bvkeras.errors import ArgumentError
from bvkeras.tasks.glue import GLUE
from bvkeras.tasks.spec import TaskSpec

_TASKS = ("mnli", "qnli", "qqp", "rte", "sst2", "mrpc", "cola", "stsb")

SUMMARY = "The paper's tables: every task and seed, then a report."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `recipes/paper_tables.py`."""
    parser.add_argument(
        "--backbone",
        default="bert_base_en_uncased",
        help="a keras-hub preset, a directory, or package:NAME "
        "(bert_base_en_uncased)",
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
        ("frozen", True, "also train a head on the encoder as it came"),
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


def make_paper_runs(options: argparse.Namespace) -> None:
    """Makes what runs are missing, and the tables of all.

    Args:
        options: what `add_arguments` parsed.

    Raises:
        BvkerasError: an option cannot be used, a run fails, or a finished one
            was made with other options.
    """
    from bvkeras.reports.paper_report import write_paper_report
    from bvkeras.reports.paper_tables import make_paper_tables

    for name, values in (("limit", options.limit), ("epochs", options.epochs)):
        for task, _ in values:
            if task not in options.tasks:
                raise ArgumentError(f"--{name}: {task} is not among --tasks")
    output_dir = options.output_dir / "tables"
    runs = [(task, seed) for seed in options.seeds for task in options.tasks]
    directories = []
    for number, (task, seed) in enumerate(runs, start=1):
        directory = options.output_dir / f"{task}-{seed}"
        directories.append(directory)
        made = _run(task, seed, directory, options)
        # A table of what there is, in case this run is the last.
        if made or number == len(runs):
            write_paper_report(make_paper_tables(directories), output_dir)
    print((output_dir / "tables.md").read_text("utf-8"))


def _run(
    task: str,
    seed: int,
    directory: pathlib.Path,
    options: argparse.Namespace,
) -> bool:
    """Makes a run if it is not finished; gives whether it was made."""
    from bvkeras import pipeline

    settings = {
        "seed": seed,
        "limit": dict(options.limit).get(task),
        "epochs": dict(options.epochs).get(task),
    }
    finished = (directory / "report.json").exists()
    if finished:
        _check_finished(directory, options.backbone, settings)
    else:
        print(f"{task}, seed {seed}:", file=sys.stderr)
        spec = tasks.get(task)
        pipeline.run(
            spec,
            options.backbone,
            directory,
            data_dir=_data_dir(spec, options),
            frozen=options.frozen,
            control=options.control,
            **settings,
        )
    # Of a finished run too: it may have been stopped before or in this.
    if not options.keep_caches and (directory / "cache").exists():
        shutil.rmtree(directory / "cache")
    return not finished


def _data_dir(
    spec: TaskSpec, options: argparse.Namespace
) -> pathlib.Path | None:
    """Where a task's files are; None is the task's own source."""
    if spec.is_span:
        return options.squad_dir
    return options.data_dir if spec in GLUE else None


def _check_finished(
    directory: pathlib.Path, backbone: str, settings: dict[str, Any]
) -> None:
    """Refuses a finished run that was made with other options."""
    from bvkeras.reports.report import read_report

    report = read_report(directory / "report.json")
    found = {name: report.settings.get(name) for name in settings}
    wanted = dict(settings)
    # Where none are given they are the task's, whatever those are.
    wanted["epochs"] = list(settings["epochs"] or found["epochs"])
    path = pathlib.Path(backbone).expanduser()
    found["backbone"] = report.backbone
    wanted["backbone"] = path.resolve().name if path.is_dir() else backbone
    fileio.require_same(directory, found, wanted)


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
