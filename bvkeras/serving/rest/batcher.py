"""Requests that wait together are computed together."""

import asyncio
import concurrent.futures
import time
from collections.abc import Callable

from bvkeras.serving.rest.computing import compute
from bvkeras.serving.rest.job import Job, Outputs, Part
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.predict_request import PredictRequest
from bvkeras.serving.rest.request_error import RequestError

# A batch is padded to its longest text; more padding than this costs more
# than what computing together saves.
_MOST_STRETCH = 2.0


class Batcher:
    """Answers requests, one batch at a time, in a thread of its own.

    A batch is what waits when the one before it is done: the oldest request,
    and those most like it in length, up to `limits.batch_rows` rows and
    `limits.batch_tokens` tokens. Requests of several tasks that share the
    encoder are one batch. A larger request is computed in parts, and goes
    after all others after each. While large and small ones wait, either kind
    gets half of the tokens computed: a few large ones do not keep many small
    ones waiting, nor the other way round.

    Args:
        limits: Limits.
        observe: callable, or None. Is told of each batch its rows, its tokens
            and the seconds it took.
    """

    def __init__(
        self,
        limits: Limits,
        observe: Callable[[int, int, float], None] | None = None,
    ):
        self._limits, self._observe = limits, observe
        self._jobs: list[Job] = []
        # Tokens that large ones had more than small ones, while both waited.
        self._lead = 0
        self._arrived = asyncio.Event()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "inference")

    @property
    def waiting_rows(self) -> int:
        """Rows that are not computed yet, nor being so."""
        return sum(
            len(part.rows)
            for job in self._jobs
            if not job.is_over
            for part in job.parts
        )

    async def answer(
        self, version: LoadedVersion, request: PredictRequest
    ) -> Outputs:
        """Outputs for a request. Cancelled, no more of it is computed.

        Args:
            version: LoadedVersion to ask.
            request: PredictRequest.

        Raises:
            RequestError: the graph refuses it, or too many wait.
        """
        self._jobs = [job for job in self._jobs if not job.is_over]
        rows = self.waiting_rows
        if rows + request.num_rows > self._limits.waiting_rows:
            raise RequestError(503, f"{rows} rows are waiting: try again later")
        job = Job(version, request, self._limits)
        self._jobs.append(job)
        self._arrived.set()
        return await job.answer

    async def run(self) -> None:
        """Computes batches until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            if self._limits.batch_wait > 0:
                await asyncio.sleep(self._limits.batch_wait)
            batch = self._take()
            if not batch:
                self._arrived.clear()
                continue
            began = time.monotonic()
            outcomes = await loop.run_in_executor(self._thread, compute, batch)
            if self._observe is not None:
                self._observe(
                    sum(len(part.rows) for part in batch),
                    sum(part.size.num_tokens for part in batch),
                    time.monotonic() - began,
                )
            for part, outcome in zip(batch, outcomes, strict=True):
                part.job.finish(part, outcome)

    def close(self) -> None:
        """Ends the thread, when the batch it computes is done."""
        self._thread.shutdown()

    def _take(self) -> list[Part]:
        """The next batch, removed from what waits."""
        jobs = [job for job in self._jobs if job.parts and not job.is_over]
        self._jobs = jobs
        if not jobs:
            return []
        kinds = {job.is_large for job in jobs}
        large = self._lead <= 0 if len(kinds) > 1 else kinds.pop()
        first, *others = [job.parts[0] for job in jobs if job.is_large == large]
        batch = [first]
        if first.key is not None:
            batch += self._alike(first, others)
        self._note(large, sum(part.size.num_tokens for part in batch))
        for part in batch:
            part.job.parts.popleft()
        # What is left of it does not keep the others waiting.
        jobs.remove(first.job)
        jobs.append(first.job)
        return batch

    def _note(self, large: bool, tokens: int) -> None:
        most = self._limits.batch_tokens
        lead = self._lead + (tokens if large else -tokens)
        # Nothing is owed for long: one kind may not have come for an hour.
        self._lead = max(-most, min(most, lead))

    def _alike(self, first: Part, others: list[Part]) -> list[Part]:
        """Those of some parts that are computed with the first."""
        similar = [part for part in others if part.key == first.key]
        # Stable: of equally long ones, the oldest.
        similar.sort(key=lambda part: abs(part.length - first.length))
        size, rows, chosen = first.size, len(first.rows), []
        shortest = longest = first.length
        for part in similar:
            shortest = min(shortest, part.length)
            longest = max(longest, part.length)
            size, rows = size.beside(part.size), rows + len(part.rows)
            if (
                rows > self._limits.batch_rows
                or size.num_tokens > self._limits.batch_tokens
                or longest > _MOST_STRETCH * shortest
            ):
                break
            chosen.append(part)
        return chosen
