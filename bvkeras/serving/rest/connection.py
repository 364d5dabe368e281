"""A client's connection, and how long it may take."""

import asyncio
import json
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from bvkeras.serving.rest.connections import Connections
from bvkeras.serving.rest.failure import failure


class Connection(H11Protocol):
    """One connection, with uvicorn's reading of HTTP.

    Args:
        shared: Connections.
        **arguments: uvicorn's own.
    """

    def __init__(self, shared: Connections, **arguments: Any):
        super().__init__(**arguments)
        self._shared = shared
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None
        self._has_begun = False

    def connection_made(
        self,
        # As uvicorn's stubs have it, of a narrower kind than asyncio's.
        transport: asyncio.Transport,  # type: ignore[override]
    ) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._shared.most:
            oldest = next(iter(self._shared.waiting), None)
            if oldest is None:
                self.app = _too_many
            else:
                oldest.end()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._received()
        self._sent()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._receiving is not None and not self._has_begun:
            # The time a connection was idle is not the request's.
            self._wait()
        self._has_begun = True
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The rest of a body nobody reads, or a request sent ahead.
        self._has_begun = self.conn.their_state is h11.SEND_BODY or bool(
            self.conn.trailing_data[0]
        )
        if not self.flow.write_paused:
            self._sent()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._sending is None:
            self._sending = self.loop.call_later(
                self._shared.timeout, self._abort
            )

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.cycle is None or self.cycle.response_complete:
            self._sent()

    def send_400_response(self, msg: str) -> None:
        self._refuse(
            400, "this is no HTTP request, or its headers are too long"
        )

    def end(self) -> None:
        """Closes it, if it has not sent a whole request."""
        self._received()
        if not self.transport.is_closing():
            self._abort()

    def _is_late(self) -> None:
        if self._has_begun:
            self._refuse(408, "the request did not arrive in time")
        else:
            # It was idle, between requests or before the first.
            self._received()
            self.transport.abort()

    def _abort(self) -> None:
        self._shared.metrics.observe_refusal(0)
        self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        self._received()
        if self.transport.is_closing():
            return
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            # An answer has begun already.
            self._abort()
            return
        self._shared.metrics.observe_refusal(status)
        body = json.dumps({"error": message}).encode("ascii")
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        events = (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        # At once: a client that still sends may read no second piece.
        self.transport.write(
            b"".join(self.conn.send(event) or b"" for event in events)
        )
        if self.cycle is not None:
            # What waits for the rest of the request shall not.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.get_write_buffer_size():
            # It takes nothing either.
            self.transport.abort()
        else:
            self.transport.close()

    def _look(self) -> None:
        """Waits for the rest of a request, or no more."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._received()
        elif self._receiving is None and not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        self._received()
        self._shared.waiting[self] = None
        self._receiving = self.loop.call_later(
            self._shared.timeout, self._is_late
        )

    def _received(self) -> None:
        self._shared.waiting.pop(self, None)
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _sent(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    answer = failure(503, "too many connections: try again later", close=True)
    await answer(scope, receive, send)
