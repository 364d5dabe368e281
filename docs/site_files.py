"""Takes files that pages link to, and that lie outside docs/, into the site.

A page says `../benchmarks/results/NAME.csv`, which is right in a checkout. In
the site the file lies under `repository/`, and the link is checked as any.
"""

import pathlib
import re

from mkdocs.structure.files import File

_ROOT = pathlib.Path(__file__).parents[1]
_LINK = re.compile(r"\]\(\.\./([^)#\s]+)\)")


def on_files(files, config):
    """Adds each file that a page names and that is there."""
    found = set()
    for page in files.documentation_pages():
        if "/" not in page.src_uri:
            found.update(_LINK.findall(page.content_string))
    for path in sorted(found):
        if (_ROOT / path).is_file():
            files.append(
                File.generated(
                    config,
                    f"repository/{path}",
                    abs_src_path=str(_ROOT / path),
                )
            )
    return files


def on_page_markdown(markdown, page, config, files):
    """Points the links there; one that leads nowhere stays, and is an error."""
    if "/" in page.file.src_uri:
        return markdown
    return _LINK.sub(r"](repository/\1)", markdown)
