"""What has changed between two reports."""

from collections.abc import Mapping
from typing import Any

from bvkeras.evaluation.comparison import Comparison, SystemResult
from bvkeras.reports.document import Document, Section, Table


def compare_reports(first: Comparison, second: Comparison) -> Document:
    """Puts two runs' reports side by side.

    Args:
        first: Comparison.
        second: Comparison. Changes are of its numbers less the first's.

    Returns:
        Document: how the runs differ, then scores, parameters and seconds of
        the systems that both have, and the names of the others.
    """
    return Document(
        f"{first.title} ({first.created}) and {second.title} "
        f"({second.created})",
        [
            _differences(first, second),
            _scores(first, second),
            _costs(first, second),
            *_only_one(first, second),
        ],
    )


def _differences(first: Comparison, second: Comparison) -> Section:
    rows = []
    for name, one, other in (
        ("task", first.task, second.task),
        ("encoder", first.backbone, second.backbone),
    ):
        if one != other:
            rows.append([name, one, other])
    for what in ("settings", "versions", "examples"):
        rows += _changed(what, getattr(first, what), getattr(second, what))
    texts = []
    if first.task != second.task:
        texts.append("These are of different tasks: scores do not compare.")
    elif any(
        first.examples.get(split) != second.examples.get(split)
        for split in first.systems[0].scores
    ):
        texts.append("These were scored on different rows.")
    if not rows:
        return Section("What differs", texts=["Nothing that reports say."])
    return Section(
        "What differs",
        texts=texts,
        table=Table(["what", "first", "second"], rows),
    )


def _changed(
    what: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[list[str]]:
    names = dict.fromkeys([*first, *second])
    return [
        [
            f"{what}: {name}",
            str(first.get(name, "-")),
            str(second.get(name, "-")),
        ]
        for name in names
        if first.get(name) != second.get(name)
    ]


def _scores(first: Comparison, second: Comparison) -> Section:
    rows = []
    for one, other in _common(first, second):
        for split, metrics in one.scores.items():
            for metric, score in metrics.items():
                found = other.scores.get(split, {}).get(metric)
                if found is not None:
                    rows.append(
                        [
                            one.name,
                            f"{metric} on {split}",
                            f"{score:.4f}",
                            f"{found:.4f}",
                            f"{found - score:+.4f}",
                        ]
                    )
    return Section(
        "Scores",
        table=Table(["system", "metric", "first", "second", "change"], rows),
    )


def _costs(first: Comparison, second: Comparison) -> Section:
    rows = []
    for one, other in _common(first, second):
        seconds = [sum(system.seconds.values()) for system in (one, other)]
        rows.append(
            [
                one.name,
                f"{one.trained_parameters:,}",
                f"{other.trained_parameters:,}",
                f"{one.total_parameters:,}",
                f"{other.total_parameters:,}",
                *(f"{value:,.1f}" for value in seconds),
            ]
        )
    return Section(
        "Parameters and seconds",
        table=Table(
            [
                *("system", "trained, first", "trained, second"),
                *("total, first", "total, second"),
                *("seconds, first", "seconds, second"),
            ],
            rows,
        ),
    )


def _only_one(first: Comparison, second: Comparison) -> list[Section]:
    sections = []
    for name, one, other in (
        ("first", first, second),
        ("second", second, first),
    ):
        others = {_identity(system) for system in other.systems}
        items = [s.name for s in one.systems if _identity(s) not in others]
        if items:
            sections.append(Section(f"Only in the {name}", items=items))
    return sections


def _common(
    first: Comparison, second: Comparison
) -> list[tuple[SystemResult, SystemResult]]:
    others = {_identity(system): system for system in second.systems}
    return [
        (system, others[_identity(system)])
        for system in first.systems
        if _identity(system) in others
    ]


def _identity(system: SystemResult) -> tuple[str, float | None]:
    """What a system is in both reports; names say settings, too."""
    return (system.kind, system.epochs)
