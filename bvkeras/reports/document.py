"""A report before it is Markdown or HTML: the class `Document`."""

import dataclasses

from bvkeras.reports.picture import Picture


class Link(str):
    """A cell that leads to a file: its path, as seen from the report."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns and rows, all of them text.

    Args:
        columns: list of str.
        rows: list of lists of str, as many as columns. A cell may have
            lines, or be a `Link`.
    """

    columns: list[str]
    rows: list[list[str]]


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of a report, in this order.

    Args:
        title: str. Its heading; empty for the part below the document's.
        texts: list of str. Paragraphs.
        table: Table or None.
        items: list of str. A list of remarks.
        pictures: list of `Picture`.
    """

    title: str = ""
    texts: list[str] = dataclasses.field(default_factory=list)
    table: Table | None = None
    items: list[str] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Document:
    """A report.

    Args:
        title: str.
        sections: list of `Section`.
    """

    title: str
    sections: list[Section]
