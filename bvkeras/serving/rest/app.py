"""TensorFlow Serving's REST paths, a page to try them, and health."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from bvkeras.serving.rest import page
from bvkeras.serving.rest.failure import failure
from bvkeras.serving.rest.guard import Guard
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.metrics import CONTENT_TYPE, PATH, Metrics
from bvkeras.serving.rest.model_versions import ModelVersions
from bvkeras.serving.rest.one_line import one_line
from bvkeras.serving.rest.predictor import Predictor
from bvkeras.serving.rest.request_error import RequestError

_LOG = logging.getLogger(__name__)
_MODEL = "/v1/models/{name}"
_VERSION = f"{_MODEL}/versions/{{version}}"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class App:
    """The server's answers, as an ASGI application: `App(…).asgi`.

    Args:
        versions: ModelVersions.
        name: str. The model's name in paths.
        limits: Limits.
        poll: float, seconds. How often to look for new versions; 0: never.
        metrics: Metrics.
        hosts: collection of str, or None. Names of this server in requests,
            as of Guard.
    """

    def __init__(
        self,
        versions: ModelVersions,
        name: str,
        limits: Limits,
        poll: float,
        metrics: Metrics,
        hosts: Collection[str] | None,
    ):
        self._versions, self._name = versions, name
        self._poll = poll
        self._metrics = metrics
        self._predictor = Predictor(limits, metrics.observe_batch)
        metrics.watch(
            "bvkeras_waiting_rows",
            "Rows that wait to be computed.",
            lambda: self._predictor.waiting_rows,
        )
        self._stopping = False
        paths = {
            "/": self._page,
            "/healthz": self._health,
            "/readyz": self._ready,
            "/metrics": self._show_metrics,
        }
        for path in (_MODEL, _VERSION):
            paths[f"{path}/metadata"] = self._metadata
            paths[path] = self._status
        app = Starlette(
            routes=[
                *(
                    _route(f"{path}:{{verb}}", self._ask, _METHODS)
                    for path in (_MODEL, _VERSION)
                ),
                *(_route(path, function) for path, function in paths.items()),
                Mount("/static", page.static_files()),
            ],
            exception_handlers={
                # Starlette's stubs know no handler of one kind of error.
                RequestError: _refused,  # type: ignore[dict-item]
                HTTPException: _not_found,  # type: ignore[dict-item]
                Exception: _broken,
            },
            lifespan=self._lifespan,
        )
        self.asgi = metrics.around(Guard(app, hosts))

    def stop(self) -> None:
        """Makes `/readyz` say no; requests are still answered."""
        self._stopping = True

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._predictor.run())]
        if self._poll:
            tasks.append(asyncio.create_task(self._watch()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._predictor.close()

    async def _watch(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(self._poll)
            reason = ""
            try:
                await asyncio.to_thread(self._versions.refresh)
            except Exception as error:
                reason = one_line(error) or type(error).__name__
            if reason and reason != said:
                _LOG.error("cannot look for new versions: %s", reason)
            said = reason

    async def _page(self, request: Request) -> Response:
        return page.render(self._name, self._versions.get())

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        if self._stopping:
            raise RequestError(503, "stopping")
        return JSONResponse({"status": "ready"})

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def _status(self, request: Request) -> Response:
        number = self._number(request)
        return JSONResponse(
            {"model_version_status": self._versions.status(number)}
        )

    async def _metadata(self, request: Request) -> Response:
        version = self._versions.get(self._number(request))
        return JSONResponse(
            {
                "model_spec": {
                    "name": self._name,
                    "signature_name": "",
                    "version": str(self._versions.number_of(version)),
                },
                "metadata": version.metadata(),
            }
        )

    async def _ask(self, request: Request) -> Response:
        verb = request.path_params["verb"]
        if verb != "predict":
            raise RequestError(404, f":{verb} is not served: :predict is")
        if request.method != "POST":
            raise HTTPException(405, "expected POST", {"Allow": "POST"})
        version = self._versions.get(self._number(request))
        return await self._predictor.answer(request, version)

    def _number(self, request: Request) -> int | None:
        """The version a path names, of this model."""
        if request.path_params["name"] != self._name:
            raise RequestError(
                404, f"there is no such model: {self._name} is served"
            )
        version = request.path_params.get("version")
        if version is None:
            return None
        if not (version.isascii() and version.isdigit() and len(version) < 20):
            raise RequestError(400, "the version: expected a number")
        return int(version)


def _route(path: str, function: Callable, methods=None) -> Route:
    """A route whose requests are counted under its path."""

    @functools.wraps(function)
    async def endpoint(request: Request) -> Response:
        request.scope[PATH] = path
        return await function(request)

    return Route(path, endpoint, methods=methods)


async def _refused(request: Request, error: RequestError) -> Response:
    return failure(error.status, str(error))


async def _not_found(request: Request, error: HTTPException) -> Response:
    return JSONResponse(
        {"error": error.detail}, error.status_code, error.headers
    )


async def _broken(request: Request, error: Exception) -> Response:
    return failure(500, "the server failed")
