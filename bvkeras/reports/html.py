"""A report as one HTML file that needs no other and no network."""

import base64
import re

import jinja2
import markupsafe

from bvkeras.reports.document import Document, Link


def to_html(document: Document) -> str:
    """The text of a report as a page of its own.

    Tables can be sorted by any column, pictures are in the page, and its
    content security policy forbids it to fetch anything. Its links lead to
    files beside it.

    Args:
        document: Document.

    Returns:
        str. HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bvkeras.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["breakable"] = _breakable
    environment.tests["link"] = lambda cell: isinstance(cell, Link)
    return environment.get_template("report.html").render(document=document)


def _data_uri(svg: str) -> str:
    encoded = base64.b64encode(svg.encode()).decode("ascii")
    return f"data:image/svg+xml;base64,{encoded}"


def _breakable(text: str) -> markupsafe.Markup:
    """Text where a line may also end after the signs in names and paths."""
    parts = re.split(r"(?<=[_:/])", text)
    return markupsafe.Markup("<wbr>").join(parts)
