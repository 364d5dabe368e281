"""An error analysis as errors.json, errors.md and a table of examples."""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bvkeras.evaluation.error_analysis import (
    ClassErrors,
    ErrorAnalysis,
    ScoreErrors,
    analyze_errors,
    differing_rows,
)
from bvkeras.evaluation.label_errors import LabelErrors
from bvkeras.evaluation.markdown_table import markdown_table
from bvkeras.evaluation.outcomes import Outcomes
from bvkeras.fileio import write_json, write_text
from bvkeras.printable import spreadsheet_cell


def report_errors(
    first: Outcomes,
    second: Outcomes,
    directory: str | os.PathLike,
    *,
    names: Sequence[str] = ("first", "second"),
    texts: Sequence[Sequence[str]] = (),
    words: str = "tokens",
    samples: int = 50,
    seed: int = 0,
) -> ErrorAnalysis:
    """Compares two systems and writes what comes of it, each file atomically.

    `errors.md`, `errors.json`, and `differences.tsv`: examples on which the
    two differ.

    Args:
        first: Outcomes.
        second: Outcomes. Of the same examples, in any order.
        directory: str or path.
        names: sequence of two str. Names of the systems.
        texts: sequence of sequences of str. Texts of the rows of `first`.
        words: str. As `analyze_errors`. Defaults to `"tokens"`.
        samples: int. At most so many examples are written.
        seed: int. Seed of their choice.

    Raises:
        ArgumentError: `samples` is below 0, or texts that are not one a row.
        DataError: the two are not of the same examples.
        OSError: a file cannot be written.
    """
    directory = pathlib.Path(directory)
    analysis = analyze_errors(first, second, names, texts, words)
    rows = differing_rows(first, second, samples, seed)
    write_json(directory / "errors.json", dataclasses.asdict(analysis))
    write_text(directory / "errors.md", format_error_report(analysis))
    write_differences(
        directory / "differences.tsv", rows, first, second, names, texts
    )
    return analysis


def write_differences(
    path: str | os.PathLike,
    rows: Sequence[int] | np.ndarray,
    first: Outcomes,
    second: Outcomes,
    names: Sequence[str],
    texts: Sequence[Sequence[str]] = (),
) -> None:
    """Writes examples on which two systems differ, tab-separated, atomically.

    Args:
        path: str or path.
        rows: sequence of int. Positions in `first`.
        first: Outcomes.
        second: Outcomes. Of the same examples, in any order.
        names: sequence of two str. Names of the systems.
        texts: sequence of sequences of str. The rows' texts, in the order of
            `first`; tabs and line breaks in them become blanks.

    Raises:
        DataError: the two are not of the same examples.
        OSError: the file cannot be written.
    """
    second = second.in_order_of(first)
    columns = [f"text_{number}" for number in range(1, len(texts) + 1)]
    write_examples(
        path,
        ["index", "label", *names, *columns],
        [
            [
                first.ids[row],
                first.labels[row],
                first.predictions[row],
                second.predictions[row],
                *(column[row] for column in texts),
            ]
            for row in rows
        ],
    )


def write_examples(
    path: str | os.PathLike,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
) -> None:
    """Writes a table of examples, tab-separated without quotes, atomically.

    Args:
        path: str or path.
        header: sequence of str. The names of the columns.
        rows: sequence of sequences, one cell a column. Tabs, line breaks and
            runs of blanks become one blank; what a spreadsheet would compute
            gets an apostrophe in front.

    Raises:
        OSError: the file cannot be written.
    """
    output = io.StringIO()
    writer = csv.writer(
        output,
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
        quotechar=None,
        lineterminator="\n",
    )
    for row in (header, *rows):
        texts = (" ".join(str(cell).split()) for cell in row)
        writer.writerow(map(spreadsheet_cell, texts))
    write_text(path, output.getvalue())


def format_error_report(analysis: ErrorAnalysis) -> str:
    """The text of `errors.md`.

    Args:
        analysis: ErrorAnalysis.

    Returns:
        str. Markdown.
    """
    first, second = (system.name for system in analysis.systems)
    parts = [
        f"# Errors of {first} and {second}",
        *(f"**{sentence}**" for sentence in _one_class(analysis)),
        f"{analysis.rows:,} rows.",
        *_PARTS[type(analysis.systems[0])](analysis, first, second),
    ]
    return "\n\n".join(parts) + "\n"


def error_note(analysis: ErrorAnalysis) -> str:
    """One line on how the two systems differ, for a report's notes."""
    first, second = (system.name for system in analysis.systems)
    pair = analysis.pair
    low, high = pair["interval"]
    what, test = _MEASURES[type(analysis.systems[0])]
    note = (
        f"{second} less {first}, row by row: {what} {pair['difference']:+.4f} "
        f"(95% {low:+.4f} to {high:+.4f}; {test}: p = {pair['p_value']:.3g})."
    )
    return " ".join([*_one_class(analysis), note])


def one_class_sentence(name: str, predicted: str) -> str:
    """What is said of a system that predicts the same for all rows.

    Args:
        name: str. The system's.
        predicted: str. What it predicts; of several labels it may be empty.
    """
    return (
        f"{name} predicts {predicted or 'no label'} for every row: it has "
        "learned nothing that tells rows apart, whatever its scores."
    )


def _one_class(analysis):
    if isinstance(analysis.systems[0], ScoreErrors):
        return []
    return [
        one_class_sentence(system.name, system.only_class)
        for system in analysis.systems
        if system.only_class is not None
    ]


def together_table(
    pair: Mapping[str, Any], unit: str, count: int, first: str, second: str
) -> str:
    """How often both systems are right, one alone, or neither, as Markdown.

    Args:
        pair: mapping. Has `both_right`, `only_first`, `only_second`,
            `both_wrong`.
        unit: str. What is counted, as `"rows"`.
        count: int. How many there are.
        first: str. Name of the first system.
        second: str. Name of the second.
    """
    return markdown_table(
        ["", unit, "share"],
        [
            [name, f"{pair[key]:,}", f"{pair[key] / count:.3f}"]
            for name, key in (
                ("both right", "both_right"),
                (f"only {first} right", "only_first"),
                (f"only {second} right", "only_second"),
                ("both wrong", "both_wrong"),
            )
        ],
    )


def _class_parts(analysis, first, second):
    systems = analysis.systems
    lines = [["accuracy", *(f"{s.accuracy:.3f}" for s in systems)]]
    for label in analysis.classes:
        lines.append(
            [
                f"share predicted {label}",
                *(f"{s.predicted_share[label]:.3f}" for s in systems),
            ]
        )
    for label in analysis.classes:
        lines.append(
            [f"recall of {label}", *(_number(s.recall[label]) for s in systems)]
        )
    yield markdown_table(["", first, second], [*lines, *_word_lines(systems)])
    yield from _together_parts(analysis, "Accuracy", first, second)
    for system in systems:
        yield f"## Confusion matrix of {system.name}"
        yield markdown_table(
            ["label \\ prediction", *analysis.classes],
            [
                [label, *(f"{count:,}" for count in counts)]
                for label, counts in zip(
                    analysis.classes, system.confusion, strict=True
                )
            ],
        )


def _label_parts(analysis, first, second):
    systems = analysis.systems
    lines = [
        [name, *(f"{getattr(s, key):.3f}" for s in systems)]
        for name, key in (
            ("micro F1", "micro_f1"),
            ("macro F1", "macro_f1"),
            ("subset accuracy", "accuracy"),
        )
    ]
    yield markdown_table(["", first, second], [*lines, *_word_lines(systems)])
    yield from _together_parts(analysis, "Subset accuracy", first, second)
    for system in systems:
        yield f"## Labels of {system.name}"
        yield markdown_table(
            ["label", "rows", "predicted", "precision", "recall", "F1"],
            [
                [
                    label,
                    *(f"{found[key]:,}" for key in ("rows", "predicted")),
                    *(_number(found[k]) for k in ("precision", "recall", "f1")),
                ]
                for label, found in system.by_label.items()
            ],
        )


def _word_lines(systems):
    for number in range(len(systems[0].words_right)):
        for name, words in (
            ("right", [s.words_right[number] for s in systems]),
            ("wrong", [s.words_wrong[number] for s in systems]),
        ):
            yield [
                f"mean words of text {number + 1}, rows predicted {name}",
                *(_number(mean, 1) for mean in words),
            ]


def _together_parts(analysis, measure, first, second):
    pair = analysis.pair
    yield "## Together"
    low, high = pair["interval"]
    yield together_table(pair, "rows", analysis.rows, first, second)
    yield (
        f"The same prediction on {pair['agreement']:.3f} of the rows. "
        f"{measure} of {second} less that of {first}: "
        f"{pair['difference']:+.4f} (95% interval {low:+.4f} to {high:+.4f}, "
        f"paired; McNemar's exact test: p = {pair['p_value']:.3g})."
    )


def _score_parts(analysis, first, second):
    systems, pair = analysis.systems, analysis.pair
    yield markdown_table(
        ["", first, second],
        [
            [name, *(f"{getattr(s, key):.3f}" for s in systems)]
            for name, key in (
                ("Pearson correlation", "pearson"),
                ("mean error", "mean_error"),
                ("mean absolute error", "mean_absolute_error"),
                ("root mean squared error", "root_mean_squared_error"),
            )
        ],
    )
    yield "## By the label"
    yield markdown_table(
        [
            "label",
            "rows",
            *(f"mean error, {s.name}" for s in systems),
            *(f"mean absolute error, {s.name}" for s in systems),
        ],
        [
            [
                f"{parts[0]['low']:.2f} to {parts[0]['high']:.2f}",
                f"{parts[0]['rows']:,}",
                *(_number(part["mean_error"]) for part in parts),
                *(_number(part["mean_absolute_error"]) for part in parts),
            ]
            for parts in zip(*(s.by_label for s in systems), strict=True)
        ],
    )
    yield "## Together"
    low, high = pair["interval"]
    yield (
        f"The errors correlate by {pair['correlation']:.3f}. {second} is "
        f"closer on {pair['second_closer']:.3f} of the rows. Its mean absolute "
        f"error less that of {first}: {pair['difference']:+.4f} (95% interval "
        f"{low:+.4f} to {high:+.4f}, paired; Wilcoxon's signed-rank test: "
        f"p = {pair['p_value']:.3g})."
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


# What each kind of errors is measured by, and the test of its difference.
_MEASURES = {
    ClassErrors: ("accuracy", "McNemar"),
    LabelErrors: ("subset accuracy", "McNemar"),
    ScoreErrors: ("mean absolute error", "Wilcoxon"),
}
_PARTS = {
    ClassErrors: _class_parts,
    LabelErrors: _label_parts,
    ScoreErrors: _score_parts,
}
