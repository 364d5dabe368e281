"""TensorFlow Serving's REST paths, a page to try them, and health."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from bvkeras.serving.rest import page
from bvkeras.serving.rest.batcher import Batcher
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.model_versions import ModelVersions
from bvkeras.serving.rest.predict_answer import format_answer
from bvkeras.serving.rest.predict_request import read_request
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
    """

    def __init__(
        self,
        versions: ModelVersions,
        name: str,
        limits: Limits,
        poll: float = 0.0,
    ):
        self._versions, self._name = versions, name
        self._limits, self._poll = limits, poll
        self._batcher = Batcher(limits)
        self._stopping = False
        paths = {
            "/": self._page,
            "/healthz": self._health,
            "/readyz": self._ready,
        }
        for path in (_MODEL, _VERSION):
            paths[f"{path}/metadata"] = self._metadata
            paths[path] = self._status
        self.asgi = Starlette(
            routes=[
                *(
                    Route(f"{path}:{{verb}}", self._ask, methods=_METHODS)
                    for path in (_MODEL, _VERSION)
                ),
                *(Route(path, function) for path, function in paths.items()),
                Mount("/static", page.static_files()),
            ],
            exception_handlers={
                RequestError: _refused,
                HTTPException: _not_found,
                Exception: _broken,
            },
            lifespan=self._lifespan,
        )

    def stop(self) -> None:
        """Makes `/readyz` say no; requests are still answered."""
        self._stopping = True

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._batcher.run())]
        if self._poll:
            tasks.append(asyncio.create_task(self._watch()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._batcher.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            try:
                await asyncio.to_thread(self._versions.refresh)
            except Exception:
                _LOG.exception("cannot look for new versions")

    async def _page(self, request: Request) -> Response:
        return page.render(self._name, self._versions.get())

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        if self._stopping:
            raise RequestError(503, "stopping")
        return JSONResponse({"status": "ready"})

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
        body = await self._body(request)
        asked = read_request(body, version.signatures, self._limits)
        outputs = await self._batcher.answer(version, asked)
        return Response(
            format_answer(outputs, asked.num_rows, asked.by_row),
            media_type="application/json",
        )

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

    async def _body(self, request: Request) -> bytes:
        """A request's body, as far as the limits allow."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.timeout):
                async for piece in request.stream():
                    body += piece
                    if len(body) > self._limits.body_bytes:
                        raise RequestError(
                            413,
                            "the body has more than "
                            f"{self._limits.body_bytes} bytes",
                        )
        except TimeoutError:
            raise RequestError(408, "the body did not arrive in time") from None
        except ClientDisconnect:
            raise RequestError(400, "the body ended too early") from None
        return bytes(body)


def _error(status: int, message: str) -> Response:
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"error": message}, status, headers)


async def _refused(request: Request, error: RequestError) -> Response:
    return _error(error.status, str(error))


async def _not_found(request: Request, error: HTTPException) -> Response:
    return JSONResponse(
        {"error": error.detail}, error.status_code, error.headers
    )


async def _broken(request: Request, error: Exception) -> Response:
    return _error(500, "the server failed")
