"""A report as Markdown."""

from bvkeras.evaluation.markdown_table import markdown_table
from bvkeras.reports.document import Document, Link, Section


def to_markdown(document: Document, picture_directory: str = "plots") -> str:
    """The text of a report in Markdown.

    Args:
        document: Document.
        picture_directory: str. Where the pictures lie, as seen from the file.

    Returns:
        str.
    """
    parts = [f"# {document.title}"]
    for section in document.sections:
        parts += _section_parts(section, picture_directory)
    return "\n\n".join(parts) + "\n"


def _section_parts(section: Section, picture_directory: str) -> list[str]:
    parts = [f"## {section.title}"] if section.title else []
    parts += section.texts
    if section.table is not None:
        rows = [[_cell(cell) for cell in row] for row in section.table.rows]
        parts.append(markdown_table(section.table.columns, rows))
    if section.items:
        parts.append("\n".join(f"- {item}" for item in section.items))
    for picture in section.pictures:
        path = f"{picture_directory}/{picture.file_names['png']}"
        parts.append(f"![{picture.title}](<{path}>)")
    return parts


def _cell(cell: str) -> str:
    return f"[{cell}](<./{cell}>)" if isinstance(cell, Link) else cell
