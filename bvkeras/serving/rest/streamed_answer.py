"""A response that is written as its client takes it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bvkeras.serving.rest.disconnection import disconnection


class StreamedAnswer(Response):
    """JSON in pieces, each made when the one before it is on its way.

    Args:
        begun: sequence of two bytes. The first two pieces; the second is empty
            if there is but one.
        rest: iterator of bytes. The others.
        run: callable. Runs a function with arguments in a thread.
        held: AsyncExitStack. Closed when the answer is sent, or its client has
            gone.
    """

    media_type = "application/json"

    def __init__(
        self,
        begun: Sequence[bytes],
        rest: Iterator[bytes],
        run: Callable[..., Awaitable[bytes]],
        held: contextlib.AsyncExitStack,
    ):
        self._begun, self._rest, self._run, self._held = begun, rest, run, held
        super().__init__()
        first, second = begun
        if second:
            # How long it is is known at its end.
            del self.headers["content-length"]
        else:
            self.headers["content-length"] = str(len(first))

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        gone = asyncio.ensure_future(disconnection(receive))
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            piece, following = self._begun
            while piece and not gone.done():
                await send(
                    {
                        "type": "http.response.body",
                        "body": piece,
                        "more_body": bool(following),
                    }
                )
                piece = following
                if piece:
                    following = await self._run(next, self._rest, b"")
        finally:
            gone.cancel()
            await self._held.aclose()
