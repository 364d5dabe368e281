"""Runs of one task that differ by their seed: the class `RunGroup`."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from bvkeras.errors import DataError
from bvkeras.evaluation.comparison import (
    CONTROL,
    ENCODER,
    ENSEMBLES,
    FROZEN_HEAD,
    FROZEN_REGRESSION,
    HEAD,
    REGRESSION,
    Comparison,
    SystemResult,
)
from bvkeras.reports.report import read_report, report_path
from bvkeras.schema import COUNT, find_problem, record_of
from bvkeras.training.freezing import frozen_part

# Rows of tables, in this order, by their kind.
KINDS = {
    ENCODER: "fine-tuned encoder",
    HEAD: "pooled head on it",
    REGRESSION: "regression on the mean of its hidden states",
    ENSEMBLES[0]: "mean of both",
    ENSEMBLES[1]: "maximum of both",
    CONTROL: "encoder after one more epoch",
    FROZEN_HEAD: "head on the frozen encoder",
    FROZEN_REGRESSION: "regression on the frozen encoder",
}
_SETTINGS_SCHEMA = record_of(
    seed=COUNT, freeze_layers=COUNT, freeze_embeddings={"type": "boolean"}
)


@dataclasses.dataclass(frozen=True)
class RunGroup:
    """Runs of one task with one encoder that differ by their seed alone.

    Args:
        variant: str. The encoder, and what of it was frozen.
        runs: dict of seed to Comparison.
        directories: dict of seed to the run's directory.
        epochs: float. The stop point that is looked at.
    """

    variant: str
    runs: dict[int, Comparison]
    directories: dict[int, pathlib.Path]
    epochs: float

    @property
    def first(self) -> Comparison:
        """One of the runs, for all they have in common."""
        return next(iter(self.runs.values()))

    @property
    def task(self) -> str:
        """The task's name."""
        return self.first.task

    def system(self, seed: int, kind: str) -> SystemResult | None:
        """A run's system of one kind at the stop point, if it has one."""
        epochs = self.epochs
        if kind in (FROZEN_HEAD, FROZEN_REGRESSION):
            epochs = 0.0
        elif kind == CONTROL:
            epochs += 1
        for system in self.runs[seed].systems:
            if (system.kind, system.epochs) == (kind, epochs):
                return system
        return None

    def systems(self, kind: str) -> dict[int, SystemResult]:
        """The runs' systems of one kind, by seed."""
        found = {seed: self.system(seed, kind) for seed in self.runs}
        return {seed: system for seed, system in found.items() if system}

    def scores(self, kind: str) -> dict[int, float]:
        """Their scores by the main metric on the main split."""
        return {
            seed: self.runs[seed].main_score(system)
            for seed, system in self.systems(kind).items()
        }

    def predictions_path(self, seed: int, kind: str) -> pathlib.Path | None:
        """The predictions of a system on the main split, if they are there."""
        run, system = self.runs[seed], self.system(seed, kind)
        name = system and run.files.get(f"{system.name}, {run.main_split}")
        path = self.directories[seed] / name if name else None
        return path if path and path.is_file() else None


def read_run_groups(
    paths: Sequence[str | os.PathLike], epochs: float | None = None
) -> list[RunGroup]:
    """Reads runs and puts together those that differ by their seed.

    Args:
        paths: sequence of str or path. Directories of runs, or their
            `report.json` files.
        epochs: float. The stop point to look at. Defaults to each run's last.

    Returns:
        list of RunGroup, in the order of the first run of each.

    Raises:
        DataError: a report cannot be read, or has no such stop point; two
            runs have the same seed, or differ in more than the seed.
        OSError: a file cannot be read.
    """
    groups: dict[tuple[str, str], RunGroup] = {}
    for path in paths:
        file = report_path(path)
        run = read_report(file)
        problem = find_problem(run.settings, _SETTINGS_SCHEMA)
        if problem:
            raise DataError(f"{file}: settings: {problem}")
        stop = _stop_point(file, run, epochs)
        key = (_variant(run), run.task)
        seed = run.settings["seed"]
        group = groups.setdefault(key, RunGroup(key[0], {}, {}, stop))
        for other_seed, other in group.runs.items():
            other_file = report_path(group.directories[other_seed])
            _check_differ_by_seed(file, run, other_file, other)
        group.runs[seed] = run
        group.directories[seed] = file.parent
    return list(groups.values())


def _stop_point(file, run, epochs):
    stops = [s.epochs for s in run.systems if s.kind == ENCODER]
    if not stops:
        raise DataError(
            f"{file}: none of its systems is of kind {ENCODER!r}; expected "
            "the report of a run"
        )
    if epochs is None:
        return max(stops)
    if epochs not in stops:
        raise DataError(
            f"{file}: has no stop point at epoch {epochs:g}; it has "
            f"{', '.join(f'{stop:g}' for stop in stops)}"
        )
    return epochs


def _variant(run: Comparison) -> str:
    part = frozen_part(
        run.settings["freeze_layers"], run.settings["freeze_embeddings"]
    )
    return run.backbone + (f", {part} frozen" if part else "")


def _check_differ_by_seed(file, run, other_file, other):
    settings, others = run.settings, other.settings
    names = set(settings) | set(others)
    differ = {n for n in names if settings.get(n) != others.get(n)}
    if "seed" not in differ:
        seed = run.settings["seed"]
        raise DataError(
            f"{file}: has seed {seed} as {other_file} has; expected runs of "
            "different seeds"
        )
    differ.discard("seed")
    if differ:
        name = min(differ)
        raise DataError(
            f"{file}: has {name} {settings.get(name)}, {other_file} has "
            f"{others.get(name)}; expected runs that differ by their seed "
            "alone, or a report for each"
        )
    if run.examples != other.examples:
        raise DataError(
            f"{file}: was made with other rows than {other_file}: "
            f"{run.examples} and {other.examples}"
        )
