"""A report as one HTML file that needs no other and no network."""

import base64

import jinja2

from bvkeras.reports.document import Document


def to_html(document: Document) -> str:
    """The text of a report as a page of its own.

    Tables can be sorted by any column, pictures are in the page, and its
    content security policy forbids it to fetch anything.

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
    return environment.get_template("report.html").render(document=document)


def _data_uri(svg: str) -> str:
    encoded = base64.b64encode(svg.encode()).decode("ascii")
    return f"data:image/svg+xml;base64,{encoded}"
