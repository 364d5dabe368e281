"""The comparison as report.json, report.md, and a table on the terminal."""

import json
import os
import pathlib

import rich.box
import rich.console
import rich.table
import rich.text

from bvkeras.errors import DataError
from bvkeras.evaluation.comparison import Comparison
from bvkeras.evaluation.compression import format_compression
from bvkeras.evaluation.published import (
    PUBLISHED_HEADING,
    published_note,
    published_scores,
)
from bvkeras.fileio import read_json, write_json, write_text

_TABLE_WIDTH = 100


def write_report(
    comparison: Comparison, directory: str | os.PathLike
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes `report.json` and `report.md`, each atomically.

    Args:
        comparison: `Comparison`.
        directory: str or path. The run's directory; paths in
            `comparison.files` are relative to it.

    Returns:
        The paths of `report.json` and `report.md`.

    Raises:
        OSError: a file cannot be written.
    """
    directory = pathlib.Path(directory)
    json_path = directory / "report.json"
    markdown_path = directory / "report.md"
    write_json(json_path, comparison.to_dict())
    write_text(markdown_path, format_report(comparison))
    return json_path, markdown_path


def read_report(path: str | os.PathLike) -> Comparison:
    """Reads a `report.json`.

    Args:
        path: str or path. The file.

    Returns:
        `Comparison`.

    Raises:
        DataError: the file is not a report of this format.
        OSError: the file cannot be read.
    """
    try:
        return Comparison.from_dict(read_json(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error


def format_report(comparison: Comparison) -> str:
    """The text of `report.md`.

    Args:
        comparison: `Comparison`.

    Returns:
        str. Markdown.
    """
    header, rows = _table(comparison)
    parts = [
        f"# {comparison.title}",
        f"Encoder: `{comparison.backbone}`. Main metric: "
        f"{comparison.main_metric} on {comparison.main_split}. "
        f"Made {comparison.created}.",
        markdown_table(header, rows),
    ]
    for name, path in comparison.files.items():
        if path.endswith(".png"):
            parts.append(f"![{name}](<{path}>)")
    notes = _notes(comparison) + list(comparison.notes)
    parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    for table in comparison.tables:
        cells = [[_text(cell) for cell in row] for row in table["rows"]]
        parts += [
            f"## {table['title']}",
            table["note"],
            markdown_table(table["columns"], cells),
        ]
    parts += _published_parts(comparison)
    counts = {
        split: f"{count:,}" for split, count in comparison.examples.items()
    }
    for heading, columns, values in (
        ("Rows", ("split", "rows"), counts),
        ("Settings", ("setting", "value"), comparison.settings),
        ("Files", ("file", "path"), comparison.files),
        ("Versions", ("package", "version"), comparison.versions),
    ):
        if values:
            cells = [[key, _text(value)] for key, value in values.items()]
            parts += [f"## {heading}", markdown_table(columns, cells)]
    return "\n\n".join(parts) + "\n"


def print_table(
    comparison: Comparison, console: rich.console.Console | None = None
) -> None:
    """Prints the report's table, without colour, in at most 100 columns.

    Args:
        comparison: `Comparison`.
        console: rich console. Defaults to standard output, as wide as the
            terminal, or 100 columns when it is not one.
    """
    if console is None:
        console = rich.console.Console(no_color=True)
        if not console.is_terminal:
            console.width = _TABLE_WIDTH

    # Text, not str: rich would read [brackets] in a name as markup.
    def plain(text: str) -> rich.text.Text:
        if console.options.ascii_only:
            text = text.replace("±", "+-")
        return rich.text.Text(text)

    header, rows = _table(comparison)
    table = rich.table.Table(
        title=plain(f"{comparison.title}: {comparison.backbone}"),
        caption=plain("\n".join(_notes(comparison))),
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="",
        header_style="bold",
        box=rich.box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for number, name in enumerate(header):
        is_number = 0 < number < len(header) - 1
        table.add_column(
            plain(name.replace(" ", "\n") if is_number else name),
            justify="right" if is_number else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    console.print(table, width=min(console.width, _TABLE_WIDTH))


def _table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """The header and the cells of the one table; a cell may have lines."""
    columns = list(
        dict.fromkeys(
            (split, metric)
            for system in comparison.systems
            for split, metrics in system.scores.items()
            for metric in metrics
        )
    )
    one_split = len({split for split, _ in columns}) == 1
    header = [
        "system",
        *(
            metric if one_split else f"{split.replace('_', ' ')} {metric}"
            for split, metric in columns
        ),
        "trained parameters",
        "total parameters",
        "compression",
        "seconds per step",
    ]
    rows = [
        [
            system.name,
            *(
                _score_cell(comparison, system.scores, *column)
                for column in columns
            ),
            f"{system.trained_parameters:,}",
            f"{system.total_parameters:,}",
            format_compression(system.compression),
            "\n".join(
                f"{step} {seconds:,.1f}"
                for step, seconds in system.seconds.items()
            ),
        ]
        for system in comparison.systems
    ]
    if comparison.baseline:
        scores = [
            _score_cell(comparison, comparison.baseline, *column)
            for column in columns
        ]
        name = comparison.baseline_name.removeprefix("the ")
        rows.append([name, *scores, "0", "0", "-", "-"])
    return header, rows


def _score_cell(
    comparison: Comparison,
    scores: dict[str, dict[str, float]],
    split: str,
    metric: str,
) -> str:
    score = scores.get(split, {}).get(metric)
    if score is None:
        return "-"
    error = comparison.standard_error(split, metric, score)
    return f"{score:.3f}" if error is None else f"{score:.3f} ± {error:.3f}"


def _notes(comparison: Comparison) -> list[str]:
    notes = []
    heads = [
        f"{system.name} ({format_compression(system.compression)})"
        for system in comparison.systems
        if system.compression > 2
    ]
    if heads:
        notes.append(
            "So many times fewer parameters are trained than the encoder "
            f"has: {', '.join(heads)}. The encoder still runs: total "
            "parameters say what serving needs."
        )
    baseline = comparison.baseline.get(comparison.main_split, {}).get(
        comparison.main_metric
    )
    for system in comparison.systems:
        if baseline is not None and comparison.main_score(system) <= baseline:
            notes.append(
                f"{system.name}: no better than always answering "
                f"{comparison.baseline_name} ({baseline:.3f})."
            )
    if any("accuracy" in s for s in comparison.systems[0].scores.values()):
        counts = ", ".join(
            f"{comparison.examples[split]:,} rows of {split}"
            for split in comparison.systems[0].scores
        )
        notes.append(
            f"± is one standard error, sqrt(p(1-p)/n), from the {counts}; "
            "noise from the seed comes on top."
        )
    return notes


def _published_parts(comparison: Comparison) -> list[str]:
    scores = published_scores(comparison.task)
    if not scores:
        return []
    cells = [[model, f"{score:.3f}"] for model, score in scores.items()]
    note = published_note(comparison.task)
    return [
        "## Published scores",
        f"{PUBLISHED_HEADING[0].upper()}{PUBLISHED_HEADING[1:]}.",
        markdown_table(["model", "score"], cells),
        *([note] if note else []),
    ]


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a cell may have bars and line breaks.

    Args:
        header: list of str.
        rows: list of lists of str, as many as in `header`.

    Returns:
        str.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(_markdown_cell(cell) for cell in line) + " |"
        for line in lines
    )


def _markdown_cell(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", "<br>")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
