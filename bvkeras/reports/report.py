"""A run's report on disk: report.json, report.md, report.html, plots."""

import functools
import importlib.resources
import json
import os
import pathlib

from bvkeras.errors import DataError
from bvkeras.evaluation.comparison import Comparison
from bvkeras.fileio import read_json, write_json, write_text
from bvkeras.reports.html import to_html
from bvkeras.reports.markdown import to_markdown
from bvkeras.reports.run_document import run_document
from bvkeras.reports.run_pictures import run_pictures
from bvkeras.schema import OBJECT, Schema, find_problem

PLOTS = "plots"
_REPORT_FILE = "report.json"
_SCHEMA_FILE = "report.schema.json"
_PAGE = "report.html"


def write_report(
    comparison: Comparison, directory: str | os.PathLike
) -> pathlib.Path:
    """Writes a run's report, each file atomically, `report.json` the last.

    `report.json`, `report.md`, `report.html`, and `plots/` with every picture
    as PNG, SVG and CSV. The page and the PNG files are added to
    `comparison.files`; SVG and CSV lie beside.

    Args:
        comparison: Comparison.
        directory: str or path. The run's directory; paths in
            `comparison.files` are relative to it.

    Returns:
        The path of `report.json`.

    Raises:
        OSError: a file cannot be written.
    """
    directory = pathlib.Path(directory)
    pictures = run_pictures(comparison)
    comparison.files["report as a page"] = _PAGE
    for picture in pictures:
        picture.save(directory / PLOTS)
        key = f"{picture.name.replace('_', ' ')} plot"
        comparison.files[key] = f"{PLOTS}/{picture.file_names['png']}"
    missing = [
        path
        for path in comparison.files.values()
        if path != _PAGE and not (directory / path).exists()
    ]
    document = run_document(comparison, pictures, missing)
    write_text(directory / "report.md", to_markdown(document, PLOTS))
    write_text(directory / _PAGE, to_html(document))
    path = directory / _REPORT_FILE
    write_json(path, comparison.to_dict())
    return path


def report_path(path: str | os.PathLike) -> pathlib.Path:
    """The `report.json` of a run's directory; of a file, the file itself."""
    path = pathlib.Path(path)
    return path / _REPORT_FILE if path.is_dir() else path


def read_report(path: str | os.PathLike) -> Comparison:
    """Reads a `report.json`.

    Args:
        path: str or path. The file, or the directory of a run.

    Returns:
        `Comparison`.

    Raises:
        DataError: the file is not a report of this format.
        OSError: the file cannot be read.
    """
    path = report_path(path)
    value = read_json(path, OBJECT)
    try:
        comparison = Comparison.from_dict(value)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    problem = find_problem(value, _schema())
    if problem:
        raise DataError(f"{path}: {problem}")
    return comparison


@functools.cache
def _schema() -> Schema:
    schema = importlib.resources.files("bvkeras.reports") / _SCHEMA_FILE
    return json.loads(schema.read_text("utf-8"))
