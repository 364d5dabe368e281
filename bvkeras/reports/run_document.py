"""A run's report, before it is Markdown or HTML."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bvkeras.evaluation.comparison import Comparison
from bvkeras.reports.document import Document, Link, Section, Table
from bvkeras.reports.layers import shares_of
from bvkeras.reports.picture import Picture
from bvkeras.reports.published import (
    PUBLISHED_HEADING,
    published_note,
    published_scores,
)
from bvkeras.reports.score_table import score_notes, score_table


def run_document(
    comparison: Comparison,
    pictures: Sequence[Picture] = (),
    missing: Collection[str] = (),
) -> Document:
    """Everything a report says of a run.

    Args:
        comparison: Comparison.
        pictures: sequence of Picture. What `run_pictures` gave.
        missing: collection of str. Paths in `comparison.files` where there is
            nothing.

    Returns:
        Document.
    """
    columns, rows = score_table(comparison)
    sections = [
        Section(
            texts=[
                *(f"Warning: {warning}" for warning in comparison.warnings),
                f"Encoder: {comparison.backbone}. Main metric: "
                f"{comparison.main_metric} on {comparison.main_split}. "
                f"Made {comparison.created}.",
                *_how_long(comparison),
            ],
            table=Table(columns, rows),
            pictures=list(pictures),
        ),
        Section("Notes", items=[*score_notes(comparison), *comparison.notes]),
        *_differences(comparison),
        *_tables(comparison),
        *_layer_importance(comparison),
        *_published(comparison),
    ]
    counts = {
        split: f"{count:,}" for split, count in comparison.examples.items()
    }
    files = {
        name: f"{path} (not there)" if path in missing else Link(path)
        for name, path in comparison.files.items()
    }
    if comparison.command:
        sections.append(Section("Command line", texts=[comparison.command]))
    for title, columns, values in (
        ("Rows", ["split", "rows"], counts),
        ("Settings", ["setting", "value"], comparison.settings),
        ("Files", ["file", "path"], files),
        ("Versions", ["package", "version"], comparison.versions),
        ("Hardware", ["part", "what it is"], comparison.hardware),
    ):
        if values:
            sections.append(Section(title, table=_pairs(columns, values)))
    return Document(comparison.title, sections)


def _how_long(comparison: Comparison) -> list[str]:
    return [
        f"All steps took {comparison.total_seconds:,.1f} seconds, each counted "
        "once, whatever rows need it."
    ]


def _differences(comparison: Comparison) -> list[Section]:
    if not comparison.differences:
        return []
    return [
        Section(
            "Differences",
            texts=[
                "Of the second system's score less the first's, on the same "
                "examples, with the 95% interval of a paired bootstrap over "
                "them. It tells the noise of the examples; that of training "
                "shows between seeds."
            ],
            table=Table(
                ["second", "first", "metric", "difference", "95% interval"],
                [
                    [
                        pair["second"],
                        pair["first"],
                        f"{pair['metric']} on {pair['split']}",
                        f"{pair['difference']:+.4f}",
                        f"{pair['low']:+.4f} to {pair['high']:+.4f}",
                    ]
                    for pair in comparison.differences
                ],
            ),
        )
    ]


def _tables(comparison: Comparison) -> list[Section]:
    return [
        Section(
            table["title"],
            texts=[table["note"]],
            table=Table(
                table["columns"],
                [[_text(cell) for cell in row] for row in table["rows"]],
            ),
        )
        for table in comparison.tables
    ]


def _layer_importance(comparison: Comparison) -> list[Section]:
    importance = comparison.layer_importance
    if not importance:
        return []
    layers = max(len(values) for values in importance.values())
    return [
        Section(
            "Layer importance",
            texts=[
                "The size of what each hidden state adds to the outputs, as "
                "a share of the sum of these: the root mean square over the "
                "examples of what differs between classes and examples (of a "
                "scalar mix: its weights). State 0 is the output of the "
                "embeddings."
            ],
            table=Table(
                ["system", *(str(layer) for layer in range(layers))],
                [
                    [name, *(f"{share:.3f}" for share in shares_of(values))]
                    + ["-"] * (layers - len(values))
                    for name, values in importance.items()
                ],
            ),
        )
    ]


def _published(comparison: Comparison) -> list[Section]:
    scores = published_scores(comparison.task)
    if not scores:
        return []
    note = published_note(comparison.task)
    return [
        Section(
            "Published scores",
            texts=[
                f"{PUBLISHED_HEADING[0].upper()}{PUBLISHED_HEADING[1:]}.",
                *([note] if note else []),
            ],
            table=Table(
                ["model", "score"],
                [[model, f"{score:.3f}"] for model, score in scores.items()],
            ),
        )
    ]


def _pairs(columns: list[str], values: Mapping[str, Any]) -> Table:
    return Table(
        columns, [[key, _text(value)] for key, value in values.items()]
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
