"""Requests that are refused for what their headers say."""

import ipaddress
import urllib.parse
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bvkeras.serving.rest.failure import failure
from bvkeras.serving.rest.request_error import RequestError

MOST_HEADER_BYTES = 1 << 14
# `name: value\r\n` has four more than its parts.
_BETWEEN = 4
# What a page of any other site can send without being asked first; so is a
# body without a type.
_SENT_FREELY = {
    *("", "text/plain", "multipart/form-data"),
    "application/x-www-form-urlencoded",
}


class Guard:
    """An application that gets only requests that may be meant for it.

    A browser lets every page it shows send requests to this machine. Pages of
    other sites are told by `Origin`, and what they can send without asking
    first (as plain text) is refused; they cannot ask, since no answer allows
    it. A page whose own name was made to point here (DNS rebinding) is told by
    `Host`: a name of its own, where this machine's or an address is expected.
    Clients that are no browsers send no `Origin`.

    Args:
        app: ASGI application.
        hosts: collection of str, or None. Names that are taken in `Host`,
            beside addresses and `localhost`. None: all are.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None):
        self._app = app
        self._hosts = None
        if hosts is not None:
            self._hosts = {"localhost", *map(str.lower, hosts)}

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except RequestError as error:
                answer = failure(error.status, str(error), close=True)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(n) + len(v) + _BETWEEN for n, v in scope["headers"])
        if size > MOST_HEADER_BYTES:
            raise RequestError(
                400,
                f"the headers have {size} bytes, expected at most "
                f"{MOST_HEADER_BYTES}",
            )
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:
            # Two servers in a row could disagree where the request ends.
            raise RequestError(
                400, "expected either Content-Length or Transfer-Encoding"
            )
        host = headers.get("host", "")
        name = _host_name(host)
        if not self._is_own(name):
            raise RequestError(
                403,
                "the host in Host is not this server's: ask by address or as "
                "localhost, or name it with --allowed-host",
            )
        origin = headers.get("origin")
        if origin is None or scope["method"] in ("GET", "HEAD"):
            return
        kind = headers.get("content-type", "").partition(";")[0].strip()
        if _place(origin) != host.lower() and kind.lower() in _SENT_FREELY:
            raise RequestError(
                403,
                "a page of another site asks: expected Content-Type "
                "application/json",
            )

    def _is_own(self, name: str | None) -> bool:
        # HTTP/1.0 has requests without it; browsers do not send them.
        if self._hosts is None or name == "":
            return True
        if name is None:
            return False
        try:
            # No name, so none that could be pointed elsewhere.
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._hosts
        return True


def _host_name(host: str) -> str | None:
    """The name or address in `Host`, without a port; None: there is none."""
    if not host:
        return ""
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _place(origin: str) -> str | None:
    """Host and port of an origin, as `Host` has them."""
    try:
        return urllib.parse.urlsplit(origin).netloc.lower()
    except ValueError:
        return None
