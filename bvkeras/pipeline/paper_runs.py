"""The runs behind the paper's tables: every task and seed, then a report."""

import os
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bvkeras import fileio, pipeline, tasks
from bvkeras.encoders import hub
from bvkeras.evaluation.comparison import CONTROL, FROZEN_HEAD
from bvkeras.printable import say
from bvkeras.reports.paper_report import write_paper_report
from bvkeras.reports.paper_tables import make_paper_tables
from bvkeras.reports.report import read_report, write_report
from bvkeras.reports.run_group import KINDS


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
        frozen: bool. As `run`. Defaults to `True`. A finished run without the
            row is taken up again; where it is not asked for, the tables leave
            it out.
        control: bool. As `run`, and as `frozen`. Defaults to `True`.
        keep_caches: bool. Whether the hidden states of finished runs stay.
            Defaults to `False`.
        command: str. As `run`. Defaults to nothing.

    Returns:
        Path of `tables.md`.

    Raises:
        BvkerasError: a run cannot be made, which is found before the first
            one is; a run fails; or a finished one was made with other
            arguments.
    """
    output_dir = pathlib.Path(output_dir)
    runs = [
        _Run(
            name,
            output_dir / f"{name}-{seed}",
            _data_dir(name, data_dir, squad_dir),
            {
                "seed": seed,
                "limit": limits.get(name),
                "epochs": epochs.get(name),
            },
        )
        for seed in seeds
        for name in task_names
    ]
    asked = {FROZEN_HEAD: frozen, CONTROL: control}
    kinds = [kind for kind in KINDS if asked.get(kind, True)]
    rows = {kind for kind, wanted in asked.items() if wanted}
    missing = [run for run in runs if not _is_finished(run, backbone, rows)]
    _check_missing(missing, backbone)
    for number, run in enumerate(runs, start=1):
        if run in missing:
            seed = run.settings["seed"]
            say(f"{run.task}, seed {seed}:", file=sys.stderr)
            pipeline.run(
                run.task,
                backbone,
                run.directory,
                data_dir=run.data_dir,
                frozen=frozen,
                control=control,
                command=command,
                **run.settings,
            )
        # Of a finished run too: it may have been stopped before or in this.
        if not keep_caches and (run.directory / "cache").exists():
            shutil.rmtree(run.directory / "cache")
            # Its files are marked as not there.
            write_report(read_report(run.directory), run.directory)
        # A table of what there is, in case this run is the last.
        if run in missing or number == len(runs):
            write_paper_report(
                make_paper_tables(
                    [one.directory for one in runs[:number]], kinds=kinds
                ),
                output_dir / "tables",
            )
    return output_dir / "tables" / "tables.md"


class _Run(NamedTuple):
    """One of the runs: what is asked for, and where it goes."""

    task: str
    directory: pathlib.Path
    data_dir: pathlib.Path | None
    settings: dict[str, Any]


def _check_missing(missing: Sequence[_Run], backbone: str) -> None:
    """Refuses what cannot be run before the first of many hours."""
    checked = set()
    for run in missing:
        # Other seeds of a task read the same data. A run under way has
        # settings of its own.
        under_way = (run.directory / "settings.json").exists()
        if run.task in checked and not under_way:
            continue
        pipeline.check_run(
            run.task,
            backbone,
            run.directory,
            data_dir=run.data_dir,
            **run.settings,
        )
        checked.add(run.task)


def _data_dir(
    name: str, data_dir: pathlib.Path | None, squad_dir: pathlib.Path | None
) -> pathlib.Path | None:
    """Where a task's files are; None is the task's own source."""
    folders = {"squad": squad_dir, "glue": data_dir}
    return folders.get(tasks.get(name).source)


def _is_finished(run: _Run, backbone: str, rows: set[str]) -> bool:
    """Whether a run is there with all rows asked for.

    Args:
        run: _Run.
        backbone: str.
        rows: set of str. Kinds of rows it has to have.

    Raises:
        RunError: it was made with other options.
    """
    directory, settings = run.directory, run.settings
    if not (directory / "report.json").exists():
        return False
    report = read_report(directory / "report.json")
    found = {name: report.settings.get(name) for name in settings}
    wanted = dict(settings)
    # Where none are given they are the task's, whatever those are.
    wanted["epochs"] = list(settings["epochs"] or found["epochs"] or ())
    path = pathlib.Path(backbone).expanduser()
    found["backbone"] = report.backbone
    wanted["backbone"] = (
        path.resolve().name
        if path.is_dir()
        else hub.pinned(backbone, report.backbone)
    )
    fileio.require_same(directory, found, wanted)
    return rows <= {system.kind for system in report.systems}
