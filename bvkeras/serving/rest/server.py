"""Runs the server until it is told to stop."""

import asyncio
import contextlib
import functools
import ipaddress
import logging
import math
import os
import pathlib
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn

from bvkeras.errors import ArgumentError
from bvkeras.serving import layout
from bvkeras.serving.rest.app import App
from bvkeras.serving.rest.connection import Connection
from bvkeras.serving.rest.connections import Connections
from bvkeras.serving.rest.descriptors import most_connections
from bvkeras.serving.rest.guard import MOST_HEADER_BYTES
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.metrics import Metrics
from bvkeras.serving.rest.model_versions import ModelVersions

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_MOST_CONNECTIONS = 1024
_KEEP_ALIVE_SECONDS = 30
_TURN_SECONDS = 0.001
_LOG = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Says that it stops before it does."""

    def __init__(self, config: uvicorn.Config, app: App):
        super().__init__(config)
        self._app = app

    def handle_exit(self, number, frame) -> None:
        self._app.stop()
        super().handle_exit(number, frame)


def serve(
    directory: str | os.PathLike,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    name: str | None = None,
    limits: Limits | None = None,
    keep_all: bool = False,
    allow_unusual: bool = False,
    poll: float = 2.0,
    access_log: bool = False,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serves an export, or a run, over HTTP until SIGINT or SIGTERM.

    Then no new connection is taken, what was asked is answered, and the
    function returns. docs/serving.md describes the paths.

    Args:
        directory: str or path. A folder of versions, or one version; or what
            `bvkeras run` wrote, or a saved classifier.
        host: str. Address to listen at. Defaults to this machine alone.
        port: int. 0 takes a free one. Defaults to `8501`.
        name: str. The model's name in paths. Defaults to the name of the
            folder of versions.
        limits: Limits. Defaults to `Limits()`.
        keep_all: bool. Serve all versions, not the newest alone. Defaults to
            `False`.
        allow_unusual: bool. Serve what `bvkeras.serving.inspect` warns of.
            Defaults to `False`.
        poll: float, seconds. How often to look for new versions; 0: never.
            Defaults to `2.0`.
        access_log: bool. Log a line for each request, without its text.
            Defaults to `False`.
        allowed_hosts: sequence of str. Names that requests may give this
            server, beside `host`, `localhost` and addresses; `"*"`: any.
            Defaults to none, or to any where others than this machine can
            connect.

    Raises:
        ArgumentError: the name, the port or `poll` cannot be one, or the
            address is in use.
        DataError: the export cannot be served.
        MissingPackageError: tensorflow-text is not installed.
    """
    directory = pathlib.Path(directory)
    if name is None:
        path = directory.resolve()
        # Of one version alone, the number says less than the folder it is in.
        is_version = (path / layout.GRAPH).is_file()
        name = path.parent.name if is_version else path.name
    if not _NAME.fullmatch(name):
        raise ArgumentError(
            f"name: received {name!r}, expected letters, digits, _, . and -"
        )
    if not 0 <= poll < math.inf:
        raise ArgumentError(
            f"poll: received {poll}, expected seconds, at least 0"
        )
    # getaddrinfo would take a larger one modulo 65,536.
    if not 0 <= port <= 65_535:
        raise ArgumentError(f"port: received {port}, expected 0 to 65535")
    limits = limits or Limits()
    # First: it is quick, and may be in use.
    with _bound(host, port) as listener:
        versions = ModelVersions(
            directory, keep_all=keep_all, allow_unusual=allow_unusual
        )
        metrics = Metrics()
        hosts = _hosts(listener, host, allowed_hosts)
        app = App(versions, name, limits, poll, metrics, hosts)
        shared = Connections(
            most_connections(_MOST_CONNECTIONS), limits.timeout, metrics
        )
        metrics.watch(
            "bvkeras_connections",
            "Connections that are open.",
            lambda: len(server.server_state.connections),
        )
        config = uvicorn.Config(
            app.asgi,
            # Any callable will do; uvicorn's stubs know classes alone.
            http=functools.partial(Connection, shared),  # type: ignore[arg-type]
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            ws="none",
            log_config=None,
            access_log=access_log,
            proxy_headers=False,
            server_header=False,
            # All that are connected at once are taken at once.
            backlog=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            # To be computed, and to be taken.
            timeout_graceful_shutdown=int(2 * limits.timeout) + 1,
        )
        server = _Server(config, app)
        # Not a line for each client that speaks no HTTP.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        # From here on connections wait, and are not refused.
        listener.listen(_MOST_CONNECTIONS)
        address = _address(listener)
        print(f"serving {name} at {address} (Ctrl+C stops)", flush=True)
        with _signals_are_taken(), _threads_take_short_turns():
            asyncio.run(server.serve(sockets=[listener]))
    _LOG.info("stopped")


def _bound(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio turns Nagle's algorithm off where the protocol is named.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ArgumentError(
            f"host, port: cannot listen at {host}, port {port}: {error}"
        ) from None
    return listener


def _hosts(
    listener: socket.socket, host: str, allowed: Sequence[str]
) -> list[str] | None:
    """Names a request may have in `Host`; None: any."""
    address = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    if "*" in allowed or not (allowed or address.is_loopback):
        return None
    return [host, *allowed]


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return (
        f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    )


@contextlib.contextmanager
def _threads_take_short_turns() -> Iterator[None]:
    """Lets the event loop go on soon, while threads read and write JSON."""
    earlier = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(earlier)


@contextlib.contextmanager
def _signals_are_taken() -> Iterator[None]:
    """Lets uvicorn's handlers be all that a signal reaches.

    It raises a signal again once it has stopped, for handlers before it.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda number, frame: None)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
