"""The paper's tables on disk."""

import os
import pathlib

from bvkeras.fileio import write_json, write_text
from bvkeras.reports.document import Document
from bvkeras.reports.html import to_html
from bvkeras.reports.markdown import to_markdown
from bvkeras.reports.paper_document import paper_document
from bvkeras.reports.paper_pictures import paper_pictures
from bvkeras.reports.paper_tables import PaperTables
from bvkeras.reports.picture import csv_text
from bvkeras.reports.report import PLOTS

# By the heading of a section, what its table's file is called.
_CSV_FILES = {
    "Table 1: scores": "table_1.csv",
    "Head less encoder": "differences.csv",
    "Table 2: compression": "table_2.csv",
    "Parameters of each task": "parameters.csv",
}


def write_paper_report(
    tables: PaperTables, directory: str | os.PathLike
) -> Document:
    """Writes tables and pictures, each file atomically, `tables.json` last.

    `tables.md`, `tables.html`, `tables.json`, the tables as CSV, and `plots/`
    with every picture as PNG, SVG and CSV.

    Args:
        tables: PaperTables.
        directory: str or path.

    Returns:
        Document. What was written.

    Raises:
        OSError: a file cannot be written.
    """
    directory = pathlib.Path(directory)
    pictures = paper_pictures(tables)
    for picture in pictures:
        picture.save(directory / PLOTS)
    document = paper_document(tables, pictures)
    for section in document.sections:
        if section.title in _CSV_FILES and section.table:
            write_text(
                directory / _CSV_FILES[section.title],
                csv_text(section.table.columns, section.table.rows),
            )
    write_text(directory / "tables.md", to_markdown(document, PLOTS))
    write_text(directory / "tables.html", to_html(document))
    write_json(directory / "tables.json", tables.to_dict())
    return document
