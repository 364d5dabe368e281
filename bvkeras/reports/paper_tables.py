"""The paper's two tables from runs of our own: the class `PaperTables`."""

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.comparison import ENCODER, HEAD
from bvkeras.evaluation.paired_bootstrap import (
    ScoreDifference,
    paired_difference,
)
from bvkeras.evaluation.predictions import Predictions, read_predictions
from bvkeras.reports.run_group import KINDS, RunGroup, read_run_groups
from bvkeras.tasks.glue import GLUE

# As the paper's Table 1 has them; others come after.
_PAPER_ORDER = (
    *("mnli", "qnli", "qqp", "rte", "sst2", "mrpc", "cola", "stsb"),
    *("wnli", "squad_v2"),
)
# WNLI is left out of the average, as the paper and most do.
_AVERAGED = {spec.name for spec in GLUE} - {"wnli"}
GLUE_AVERAGE = "GLUE average"
AVERAGE = "average"
_BYTES_A_PARAMETER = 4
_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Score:
    """A score over seeds.

    Attributes:
        by_seed: dict of seed to score.
        mean: float.
        deviation: float or None. Standard deviation over seeds (n - 1); None
            of one seed.
        num_tasks: int. Tasks it is the average over. Defaults to `1`.
    """

    by_seed: dict[int, float]
    mean: float
    deviation: float | None
    num_tasks: int = 1

    @classmethod
    def of(cls, by_seed: Mapping[int, float]) -> "Score":
        """The score of these seeds."""
        values = list(by_seed.values())
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(dict(by_seed), float(np.mean(values)), deviation)


@dataclasses.dataclass(frozen=True)
class Difference:
    """Head less encoder on one task.

    Attributes:
        score: Score. The difference of each seed.
        seed_interval: pair of float or None. 95% interval of the mean over
            seeds, by Student's t; None of one seed.
        examples_interval: pair of float or None. 95% interval of the mean by
            a paired bootstrap over the examples; None where the predictions
            are not there, or are of spans.
    """

    score: Score
    seed_interval: tuple[float, float] | None
    examples_interval: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Compression:
    """What one kind of system needs for a task.

    Attributes:
        trained_parameters: int.
        total_parameters: int. With the encoder: what inference needs.
        trained_bytes: int. `trained_parameters` in float32.
        total_bytes: int. `total_parameters` in float32.
        compression: float. The encoder's parameters over the trained ones.
    """

    trained_parameters: int
    total_parameters: int
    trained_bytes: int
    total_bytes: int
    compression: float


@dataclasses.dataclass(frozen=True)
class Variant:
    """One encoder's part of the tables.

    Attributes:
        name: str. The encoder, and what of it was frozen.
        groups: dict of task to RunGroup, in the table's order.
        scores: dict of kind to dict of task to Score. Besides tasks there are
            `GLUE_AVERAGE`, of two and more of its tasks, and `AVERAGE`, of
            all where there are others.
        differences: dict of task (and average) to Difference.
        compressions: dict of kind to dict of task to Compression.
        performance: dict of kind to float or None. Average score relative to
            the fine-tuned encoder's over the tasks and seeds that have both,
            in percent; None where that average is not above 0.
    """

    name: str
    groups: dict[str, RunGroup]
    scores: dict[str, dict[str, Score]]
    differences: dict[str, Difference]
    compressions: dict[str, dict[str, Compression]]
    performance: dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class PaperTables:
    """Tables 1 and 2 of runs.

    Attributes:
        variants: list of Variant.
    """

    variants: list[Variant]

    @property
    def tasks(self) -> list[str]:
        """The tasks of all variants, in the paper's order."""
        found = {task for variant in self.variants for task in variant.groups}
        return sorted(found, key=_place)

    @property
    def averages(self) -> list[str]:
        """The averages that a variant has."""
        return [
            name
            for name in (GLUE_AVERAGE, AVERAGE)
            if any(name in v.scores[ENCODER] for v in self.variants)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {
            "format_version": 1,
            "variants": [_variant_dict(variant) for variant in self.variants],
        }


def make_paper_tables(
    paths: Sequence[str | os.PathLike],
    epochs: float | None = None,
    kinds: Collection[str] = tuple(KINDS),
) -> PaperTables:
    """Makes the paper's tables of runs: any tasks, encoders and seeds.

    Args:
        paths: sequence of str or path. Directories of runs, or `report.json`
            files; of one task and encoder they may differ by the seed.
        epochs: float. The stop point to look at. Defaults to each run's last.
        kinds: collection of str. Rows to show, by the names that `SystemResult`
            has for them. Defaults to all.

    Raises:
        ArgumentError: there are no runs.
        DataError: as `bvkeras.reports.run_group.read_run_groups`.
        OSError: a file cannot be read.
    """
    if not paths:
        raise ArgumentError("runs: expected at least one, got none")
    variants: dict[str, list[RunGroup]] = {}
    for group in read_run_groups(paths, epochs):
        variants.setdefault(group.variant, []).append(group)
    return PaperTables(
        [_variant(name, groups, kinds) for name, groups in variants.items()]
    )


def _variant(
    name: str, groups: list[RunGroup], kinds: Collection[str]
) -> Variant:
    groups = sorted(groups, key=lambda group: _place(group.task))
    scores = {}
    for kind in filter(kinds.__contains__, KINDS):
        by_task = {
            group.task: Score.of(found)
            for group in groups
            if (found := group.scores(kind))
        }
        if by_task:
            scores[kind] = by_task | _averages(by_task, groups)
    differences = {
        group.task: _difference(group) for group in groups if group.scores(HEAD)
    }
    for average in (GLUE_AVERAGE, AVERAGE):
        if average in scores.get(HEAD, {}):
            head, encoder = (
                scores[kind][average].by_seed for kind in (HEAD, ENCODER)
            )
            if head and head.keys() == encoder.keys():
                score = dataclasses.replace(
                    Score.of({s: head[s] - encoder[s] for s in head}),
                    num_tasks=scores[HEAD][average].num_tasks,
                )
                differences[average] = Difference(
                    score, _seed_interval(score), None
                )
    return Variant(
        name=name,
        groups={group.task: group for group in groups},
        scores=scores,
        differences=differences,
        compressions={
            kind: {
                group.task: _compression(group, kind)
                for group in groups
                if group.systems(kind)
            }
            for kind in scores
        },
        performance={
            kind: _performance(scores[kind], scores[ENCODER]) for kind in scores
        },
    )


def _averages(
    by_task: dict[str, Score], groups: list[RunGroup]
) -> dict[str, Score]:
    """Averages over tasks; only of a kind that every task has."""
    averages = {}
    tasks = [group.task for group in groups]
    averaged = [task for task in tasks if task in _AVERAGED]
    for name, members in (
        (GLUE_AVERAGE, averaged),
        (AVERAGE, tasks if len(averaged) < len(tasks) else []),
    ):
        if len(members) < 2 or not set(members) <= set(by_task):
            continue
        seeds = [set(by_task[task].by_seed) for task in members]
        common = sorted(set.intersection(*seeds))
        by_seed = {
            seed: float(
                np.mean([by_task[task].by_seed[seed] for task in members])
            )
            for seed in common
        }
        # The mean is over all there is; seeds only where all tasks have them.
        mean = float(np.mean([by_task[task].mean for task in members]))
        deviation = Score.of(by_seed).deviation if by_seed else None
        averages[name] = Score(by_seed, mean, deviation, len(members))
    return averages


def _difference(group: RunGroup) -> Difference:
    encoder, head = group.scores(ENCODER), group.scores(HEAD)
    score = Score.of({seed: head[seed] - encoder[seed] for seed in head})
    bootstrap = _bootstrap(group, list(head))
    return Difference(
        score,
        _seed_interval(score),
        (bootstrap.low, bootstrap.high) if bootstrap else None,
    )


def _bootstrap(group: RunGroup, seeds: list[int]) -> ScoreDifference | None:
    runs: list[list[Predictions]] = []
    for kind in (ENCODER, HEAD):
        paths = [group.predictions_path(seed, kind) for seed in seeds]
        tables = [path for path in paths if path and path.suffix == ".tsv"]
        if len(tables) < len(seeds):
            return None
        runs.append([read_predictions(path) for path in tables])
    first, second = runs
    return paired_difference(
        group.first.main_metric,
        first[0].labels,
        [run.predictions for run in first],
        [run.predictions for run in second],
    )


def _seed_interval(score: Score) -> tuple[float, float] | None:
    count = len(score.by_seed)
    if count < 2 or score.deviation is None:
        return None
    quantile = scipy.stats.t.ppf((1 + _CONFIDENCE) / 2, count - 1)
    half = float(quantile * score.deviation / np.sqrt(count))
    return score.mean - half, score.mean + half


def _compression(group: RunGroup, kind: str) -> Compression:
    system = next(iter(group.systems(kind).values()))
    return Compression(
        system.trained_parameters,
        system.total_parameters,
        _BYTES_A_PARAMETER * system.trained_parameters,
        _BYTES_A_PARAMETER * system.total_parameters,
        system.compression,
    )


def _performance(
    scores: dict[str, Score], encoder: dict[str, Score]
) -> float | None:
    tasks = [task for task in scores if task not in (GLUE_AVERAGE, AVERAGE)]
    # Both of the same tasks and seeds.
    mean, base = (
        np.mean(
            [
                np.mean([part[task].by_seed[s] for s in scores[task].by_seed])
                for task in tasks
            ]
        )
        for part in (scores, encoder)
    )
    # Of a correlation around zero no share can be told.
    return float(100 * mean / base) if base > 0 else None


def _place(task: str) -> tuple[int, str]:
    known = task in _PAPER_ORDER
    return (_PAPER_ORDER.index(task) if known else len(_PAPER_ORDER), task)


def _variant_dict(variant: Variant) -> dict[str, Any]:
    return {
        "encoder": variant.name,
        "runs": {
            task: {
                str(seed): path.name for seed, path in group.directories.items()
            }
            for task, group in variant.groups.items()
        },
        "epochs": {
            task: group.epochs for task, group in variant.groups.items()
        },
        "metrics": {
            task: group.first.main_metric
            for task, group in variant.groups.items()
        },
        "scores": _plain(variant.scores),
        "differences": _plain(variant.differences),
        "compressions": _plain(variant.compressions),
        "performance": variant.performance,
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
