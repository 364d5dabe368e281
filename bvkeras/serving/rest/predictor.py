"""From the body of a `:predict` request to its answer, within a time."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.requests import ClientDisconnect, Request

from bvkeras.serving.rest.batcher import Batcher
from bvkeras.serving.rest.disconnection import disconnection
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.predict_answer import format_answer
from bvkeras.serving.rest.predict_request import read_request
from bvkeras.serving.rest.request_error import RequestError
from bvkeras.serving.rest.streamed_answer import StreamedAnswer

# Answers of more values are large: so many are in memory at a time, from before
# they are computed until they are taken. The others are not kept waiting.
_LARGE_VALUES = 1 << 16
_MOST_LARGE = 4


class Predictor:
    """Reads requests, has them computed, and writes their answers.

    Nothing of it that takes long is done by the event loop, and none of it for
    a request whose time is over or whose client has gone.

    Args:
        limits: Limits.
        observe: callable. As of Batcher.
    """

    def __init__(
        self, limits: Limits, observe: Callable[[int, int, float], None]
    ):
        self._limits = limits
        self._batcher = Batcher(limits, observe)
        # Bodies are read, and answers written, beside what the event loop does.
        # Of Python, one thread runs at a time: more would keep it waiting.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "json")
        self._large = asyncio.Semaphore(_MOST_LARGE)

    @property
    def waiting_rows(self) -> int:
        """Rows that are not computed yet, nor being so."""
        return self._batcher.waiting_rows

    async def run(self) -> None:
        """Computes what is asked until it is cancelled."""
        await self._batcher.run()

    def close(self) -> None:
        """Ends the threads, when what they do is done."""
        self._batcher.close()
        self._thread.shutdown()

    async def answer(
        self, request: Request, version: LoadedVersion
    ) -> StreamedAnswer:
        """Answers a request.

        Args:
            request: starlette's Request, its body not read yet.
            version: LoadedVersion to ask.

        Raises:
            RequestError: it is beyond the limits, refused, or took too long.
        """
        body = await self._body(request)
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._limits.timeout):
                    begun, rest = await _unless_gone(
                        request, self._begin(version, body, held)
                    )
            except TimeoutError:
                raise RequestError(
                    504,
                    f"no answer within {self._limits.timeout:g} seconds "
                    "(--timeout)",
                ) from None
            return StreamedAnswer(begun, rest, self._in_thread, held.pop_all())

    async def _body(self, request: Request) -> bytes:
        """A request's body, as far as the limits allow."""
        body = bytearray()
        try:
            async for piece in request.stream():
                body += piece
                if len(body) > self._limits.body_bytes:
                    raise RequestError(
                        413,
                        "the body has more than "
                        f"{self._limits.body_bytes} bytes (--max-body-bytes)",
                    )
        except ClientDisconnect:
            raise RequestError(400, "the body ended too early") from None
        return bytes(body)

    async def _begin(
        self,
        version: LoadedVersion,
        body: bytes,
        held: contextlib.AsyncExitStack,
    ) -> tuple[tuple[bytes, bytes], Iterator[bytes]]:
        """An answer's first pieces, and the others.

        `held` gets what is to be let go once the answer is sent.
        """
        asked = await self._in_thread(read_request, body, version, self._limits)
        if asked.num_values > _LARGE_VALUES:
            await held.enter_async_context(self._large)
        outputs = version.trim(
            asked.signature, await self._batcher.answer(version, asked)
        )
        return await self._in_thread(
            _begun, outputs, asked.num_rows, asked.by_row
        )

    async def _in_thread(self, function: Callable, *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)


def _begun(*arguments: Any) -> tuple[tuple[bytes, bytes], Iterator[bytes]]:
    pieces = format_answer(*arguments)
    return (next(pieces), next(pieces, b"")), pieces


async def _unless_gone(request: Request, work: Awaitable) -> Any:
    """What `work` gives, unless the client closes its connection first."""
    gone = disconnection(request.receive)
    tasks = [asyncio.ensure_future(one) for one in (work, gone)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise RequestError(400, "the client has gone")
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
