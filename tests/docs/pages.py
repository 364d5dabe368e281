"""What the README and the pages of docs/ hold: blocks, commands and links."""

import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_NOT_RUN = re.compile(r'title="not run: [^"]+"')
_VARIABLE = re.compile(r"[A-Z_]+=\S+")


def python_blocks(page: pathlib.Path) -> list[str]:
    """The page's python that is run: all but what says why it is not."""
    blocks = []
    for language, title, body in _fences(page):
        if language == "python" and not _NOT_RUN.fullmatch(title.strip()):
            assert not title.strip(), f"{page.name}: ```python {title}"
            blocks.append(body)
    return blocks


def commands(page: pathlib.Path) -> list[list[str]]:
    """The arguments of each `bvkeras` command in the page's shell blocks."""
    found = []
    for language, _, body in _fences(page):
        if language != "sh":
            continue
        for line in body.replace("\\\n", " ").split("\n"):
            words = shlex.split(line, comments=True)
            while words and _VARIABLE.fullmatch(words[0]):
                words = words[1:]
            if words[:1] == ["bvkeras"]:
                found.append(words[1:])
    return found


def links(page: pathlib.Path) -> list[str]:
    """Paths that the page links to, in this repository."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [
        target.partition("#")[0]
        for target in _LINK.findall(text)
        if not re.match(r"[a-z]+:|#", target)
    ]


def _fences(page):
    return _FENCE.findall(page.read_text(encoding="utf-8"))
