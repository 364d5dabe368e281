"""What a run found: the systems it compared, on which data, at what cost."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bvkeras.errors import ArgumentError, DataError

_FORMAT_VERSION = 1
# What a row of the table is. An ensemble's kind ends in what is taken of the
# encoder's and the head's probabilities.
ENCODER = "encoder"
HEAD = "head"
FROZEN_HEAD = "frozen_head"
REGRESSION = "regression"
FROZEN_REGRESSION = "frozen_regression"
CONTROL = "control"
ENSEMBLES = ("ensemble_mean", "ensemble_maximum")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemResult:
    """One row of a comparison.

    Attributes:
        name: str. For example `"pooled head on it"`.
        scores: dict of split to dict of metric to score.
        trained_parameters: int. Parameters trained for the task.
        total_parameters: int. Parameters that have to be there to run it:
            encoder and head.
        compression: float. The encoder's parameters over
            `trained_parameters`.
        seconds: dict of step name to wall time in seconds, for every step
            this system needs.
        kind: str. What it is, the same in every run: `"encoder"`, `"head"`
            and `"regression"` (on the fine-tuned encoder), `"frozen_head"`,
            `"frozen_regression"`, `"control"`, `"ensemble_mean"`,
            `"ensemble_maximum"`.
        epochs: float. Epochs of fine-tuning it rests on.

    Raises:
        ArgumentError: there is no score, or one is not finite.
    """

    name: str
    scores: dict[str, dict[str, float]]
    trained_parameters: int
    total_parameters: int
    compression: float
    seconds: dict[str, float]
    kind: str
    epochs: float

    def __post_init__(self):
        if not self.scores:
            raise ArgumentError(f"scores of {self.name!r}: received none")
        for split, metrics in self.scores.items():
            for metric, score in metrics.items():
                if not math.isfinite(score):
                    raise ArgumentError(
                        f"scores of {self.name!r}: {metric} on {split} is "
                        f"{score}; expected a finite number"
                    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything a report says about one run.

    Attributes:
        task: str. The task's name, as `"rte"`.
        title: str. The task's title for a reader.
        main_metric: str. The metric by which systems are compared.
        backbone: str. The encoder's name.
        systems: list of `SystemResult`, in the order to be shown.
        examples: dict of split to number of rows.
        created: str. ISO 8601 time of the run's end.
        settings: dict of setting to JSON value.
        files: dict of name to path relative to the run's directory.
        versions: dict of package to version.
        baseline: dict of split to dict of metric to score, of always
            answering the most frequent class, or nothing. Empty if there is
            none.
        baseline_name: str. What `baseline` always answers.
        notes: list of str. What else a reader must know.
        warnings: list of str. What a reader must know before the scores.
        histories: dict of system name to a list of records with `step` or
            `epoch`, and `loss`; see `plots.training_figure`.
        tables: list of dict. More tables: `title`, `note`, `columns`, and
            `rows`, each a list of cells, str or number.
        encoder_parameters: int or None. Parameters of the encoder alone.
        layer_importance: dict of system name to one number a hidden state;
            see `bvkeras.evaluation.layer_importance`.
        differences: list of dict. Pairs of systems: `first`, `second`
            (names), `split`, `metric`, `difference` (second - first), and
            `low`, `high`, ends of its 95% interval; see
            `bvkeras.evaluation.paired_bootstrap`.
        command: str. The command line it was made by; empty of a call.
        hardware: dict of str. What it was made on; see
            `bvkeras.pipeline.hardware`.

    Raises:
        ArgumentError: there is no system, a system has no score by
            `main_metric` on the main split, or a scored split has no count in
            `examples`.
    """

    task: str
    title: str
    main_metric: str
    backbone: str
    systems: list[SystemResult]
    examples: dict[str, int]
    created: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    baseline: dict[str, dict[str, float]] = dataclasses.field(
        default_factory=dict
    )
    baseline_name: str = "the most frequent class"
    notes: list[str] = dataclasses.field(default_factory=list)
    histories: Mapping[str, Sequence[Mapping[str, float | None]]] = (
        dataclasses.field(default_factory=dict)
    )
    tables: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    encoder_parameters: int | None = None
    layer_importance: dict[str, list[float]] = dataclasses.field(
        default_factory=dict
    )
    differences: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    command: str = ""
    hardware: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not self.systems:
            raise ArgumentError("systems: received none; expected at least 1")
        for system in self.systems:
            if self.main_metric not in system.scores.get(self.main_split, {}):
                raise ArgumentError(
                    f"systems: {system.name!r} has no {self.main_metric} on "
                    f"{self.main_split}; expected the main metric of each "
                    "system"
                )
            for split in system.scores:
                if self.examples.get(split, 0) < 1:
                    raise ArgumentError(
                        f"examples: received no count for {split!r}, which "
                        f"{system.name!r} has scores on"
                    )

    @property
    def main_split(self) -> str:
        """The split the systems are compared on: the first that was scored."""
        return next(iter(self.systems[0].scores))

    @property
    def total_seconds(self) -> float:
        """Wall time of all steps, each once.

        Fine-tuning goes on from one stop point to the next, the rows of a
        stop point share its hidden states, and an ensemble's steps are those
        of its two systems.
        """
        steps: dict[tuple[str, Any], float] = {}
        for system in self.systems:
            if system.kind in ENSEMBLES:
                continue
            for name, seconds in system.seconds.items():
                shared = {"fine-tune": None, "extract": system.epochs}
                step = (name, shared.get(name, system.name))
                steps[step] = max(seconds, steps.get(step, 0.0))
        return sum(steps.values())

    def main_score(self, system: SystemResult) -> float:
        """A system's score by the main metric on the main split."""
        return system.scores[self.main_split][self.main_metric]

    def standard_error(
        self, split: str, metric: str, score: float
    ) -> float | None:
        """The noise of one score that comes from the split's size.

        Args:
            split: str. The split the score is on.
            metric: str. The metric the score is by.
            score: float. The score.

        Returns:
            `sqrt(p (1 - p) / rows)` for accuracy `p`; `None` for any other
            metric, for which this formula does not hold.
        """
        if metric != "accuracy":
            return None
        return math.sqrt(score * (1 - score) / self.examples[split])

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values; a loss that is not finite is null."""
        value = {"format_version": _FORMAT_VERSION, **dataclasses.asdict(self)}
        value["histories"] = {
            name: [
                {key: _finite_or_none(number) for key, number in row.items()}
                for row in rows
            ]
            for name, rows in self.histories.items()
        }
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Comparison":
        """Makes a comparison from what `to_dict` returned.

        Args:
            value: dict of JSON values.

        Returns:
            `Comparison`.

        Raises:
            DataError: another format version, or fields that are missing,
                unknown or unusable.
        """
        if not isinstance(value, Mapping):
            raise DataError(
                f"comparison: received {type(value).__name__}; expected a dict"
            )
        version = value.get("format_version")
        if version != _FORMAT_VERSION:
            raise DataError(
                f"comparison: format_version is {version!r:.40}; expected "
                f"{_FORMAT_VERSION}"
            )
        fields = {
            key: item for key, item in value.items() if key != "format_version"
        }
        _check_fields("comparison", cls, fields)
        try:
            for number, system in enumerate(fields["systems"]):
                _check_fields(f"systems[{number}]", SystemResult, system)
            fields["systems"] = [
                SystemResult(**system) for system in fields["systems"]
            ]
            return cls(**fields)
        except DataError:
            raise
        except (
            *(TypeError, AttributeError, ValueError),
            *(LookupError, ArithmeticError),
        ) as error:
            raise DataError(f"comparison: unusable value ({error})") from error


def _finite_or_none(number: float | None) -> float | None:
    if number is None or not math.isfinite(number):
        return None
    return number if isinstance(number, int) else float(number)


def _check_fields(where: str, owner: type, value: Mapping[str, Any]) -> None:
    expected = {field.name for field in dataclasses.fields(owner)}
    for problem, names in (
        ("missing", expected - set(value)),
        ("unknown", set(value) - expected),
    ):
        if names:
            raise DataError(
                f"{where}: {problem} fields {', '.join(sorted(names))}"
            )
