"""The page at `/`: type a text, see every task's answer."""

import pathlib

import jinja2
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from bvkeras.serving.rest.loaded_version import LoadedVersion

_FOLDER = pathlib.Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LABELS = {
    "text": "Text",
    "text_b": "Second text",
    "question": "Question",
    "context": "Context",
}
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, version: LoadedVersion) -> HTMLResponse:
    """The page of a model.

    Args:
        name: str. The model's name in paths.
        version: LoadedVersion.
    """
    inputs = {i for task in version.tasks.values() for i in task["inputs"]}
    text = _ENVIRONMENT.get_template("page.html").render(
        name=name,
        labels={key: label for key, label in _LABELS.items() if key in inputs},
        tasks=version.tasks,
        encoder=version.description.get("encoder", {}),
        signatures=sorted(version.signatures),
    )
    return HTMLResponse(text, headers=_HEADERS)


def static_files() -> StaticFiles:
    """The page's script and style."""
    return StaticFiles(directory=_FOLDER / "static")
