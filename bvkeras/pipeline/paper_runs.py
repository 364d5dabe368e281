"""The runs behind the paper's tables: every task and seed, then a report."""

import os
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bvkeras import fileio, pipeline, tasks
from bvkeras.reports.paper_report import write_paper_report
from bvkeras.reports.paper_tables import make_paper_tables
from bvkeras.reports.report import read_report, write_report
from bvkeras.tasks.glue import GLUE


def make_paper_runs(
    task_names: Sequence[str],
    backbone: str,
    output_dir: str | os.PathLike,
    *,
    seeds: Sequence[int],
    limits: Mapping[str, int],
    epochs: Mapping[str, tuple[float, ...]],
    data_dir: pathlib.Path | None = None,
    squad_dir: pathlib.Path | None = None,
    frozen: bool = True,
    control: bool = True,
    keep_caches: bool = False,
    command: str = "",
) -> pathlib.Path:
    """Makes what runs are missing, and the tables of all.

    Args:
        task_names: sequence of str.
        backbone: str. What `load_backbone` opens.
        output_dir: str or path. Gets a folder for each run, and `tables`.
        seeds: sequence of int. A run for each, of every task.
        limits: mapping of task names to int. Most training rows, where not
            all are used.
        epochs: mapping of task names to stop points of fine-tuning, where
            they are not the task's own.
        data_dir: path or None. GLUE's files. Defaults to
            `tensorflow_datasets`.
        squad_dir: path or None. SQuAD's files. Defaults to the same.
        frozen: bool. As `run`. Defaults to `True`.
        control: bool. As `run`. Defaults to `True`.
        keep_caches: bool. Whether the hidden states of finished runs stay.
            Defaults to `False`.
        command: str. As `run`. Defaults to nothing.

    Returns:
        Path of `tables.md`.

    Raises:
        BvkerasError: a run fails, or a finished one was made with other
            arguments.
    """
    output_dir = pathlib.Path(output_dir)
    runs = [(name, seed) for seed in seeds for name in task_names]
    directories = []
    for number, (name, seed) in enumerate(runs, start=1):
        directory = output_dir / f"{name}-{seed}"
        directories.append(directory)
        settings = {
            "seed": seed,
            "limit": limits.get(name),
            "epochs": epochs.get(name),
        }
        finished = (directory / "report.json").exists()
        if finished:
            _check_finished(directory, backbone, settings)
        else:
            print(f"{name}, seed {seed}:", file=sys.stderr)
            pipeline.run(
                name,
                backbone,
                directory,
                data_dir=_data_dir(name, data_dir, squad_dir),
                frozen=frozen,
                control=control,
                command=command,
                **settings,
            )
        # Of a finished run too: it may have been stopped before or in this.
        if not keep_caches and (directory / "cache").exists():
            shutil.rmtree(directory / "cache")
            # Its files are marked as not there.
            write_report(read_report(directory), directory)
        # A table of what there is, in case this run is the last.
        if not finished or number == len(runs):
            write_paper_report(
                make_paper_tables(directories), output_dir / "tables"
            )
    return output_dir / "tables" / "tables.md"


def _data_dir(
    name: str, data_dir: pathlib.Path | None, squad_dir: pathlib.Path | None
) -> pathlib.Path | None:
    """Where a task's files are; None is the task's own source."""
    spec = tasks.get(name)
    if spec.is_span:
        return squad_dir
    return data_dir if spec in GLUE else None


def _check_finished(
    directory: pathlib.Path, backbone: str, settings: dict[str, Any]
) -> None:
    """Refuses a finished run that was made with other options."""
    report = read_report(directory / "report.json")
    found = {name: report.settings.get(name) for name in settings}
    wanted = dict(settings)
    # Where none are given they are the task's, whatever those are.
    wanted["epochs"] = list(settings["epochs"] or found["epochs"])
    path = pathlib.Path(backbone).expanduser()
    found["backbone"] = report.backbone
    wanted["backbone"] = path.resolve().name if path.is_dir() else backbone
    fileio.require_same(directory, found, wanted)
