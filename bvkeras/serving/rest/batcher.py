"""Requests that wait together are computed together."""

import asyncio
import concurrent.futures
import dataclasses
import logging

import numpy as np
import tensorflow as tf

from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.predict_request import PredictRequest
from bvkeras.serving.rest.request_error import RequestError

_LOG = logging.getLogger(__name__)
# A batch is padded to its longest text; more padding than this costs more
# than what computing together saves.
_MOST_STRETCH = 2.0

Outputs = dict[str, np.ndarray]


@dataclasses.dataclass(eq=False)
class _Waiting:
    version: LoadedVersion
    request: PredictRequest
    answer: asyncio.Future

    @property
    def key(self) -> tuple | None:
        """Equal for those that can be one batch; None: for no other."""
        signature = self.version.together(self.request.signature)
        if signature is None:
            return None
        shapes = sorted(
            (name, array.shape[1:])
            for name, array in self.request.inputs.items()
        )
        return id(self.version), signature, tuple(shapes)


class Batcher:
    """Answers requests, one batch at a time, in a thread of its own.

    A batch is what waits when the one before it is done: the oldest request,
    and those most like it in length, up to `limits.batch_rows` rows. Requests
    of several tasks that share the encoder are one batch.

    Args:
        limits: Limits.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "inference")

    async def answer(
        self, version: LoadedVersion, request: PredictRequest
    ) -> Outputs:
        """Outputs for a request.

        Args:
            version: LoadedVersion to ask.
            request: PredictRequest.

        Raises:
            RequestError: the graph refuses it, too many wait, or it took too
                long.
        """
        self._waiting = [w for w in self._waiting if not w.answer.done()]
        rows = sum(w.request.num_rows for w in self._waiting)
        if rows + request.num_rows > self._limits.waiting_rows:
            raise RequestError(503, f"{rows} rows are waiting: try again later")
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(version, request, answer))
        self._arrived.set()
        try:
            async with asyncio.timeout(self._limits.timeout):
                return await answer
        except TimeoutError:
            raise RequestError(
                504, f"no answer within {self._limits.timeout:g} seconds"
            ) from None

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
            answers = await loop.run_in_executor(
                self._thread, _compute_all, batch
            )
            for waiting, outputs in zip(batch, answers, strict=True):
                if waiting.answer.done():
                    continue
                if isinstance(outputs, RequestError):
                    waiting.answer.set_exception(outputs)
                else:
                    waiting.answer.set_result(outputs)

    def close(self) -> None:
        """Ends the thread, when the batch it computes is done."""
        self._thread.shutdown()

    def _take(self) -> list[_Waiting]:
        """The next batch, removed from what waits."""
        self._waiting = [w for w in self._waiting if not w.answer.done()]
        if not self._waiting:
            return []
        first = self._waiting[0]
        key, length = first.key, first.request.mean_bytes
        batch, rows = [first], first.request.num_rows
        if key is not None:
            similar = [w for w in self._waiting[1:] if w.key == key]
            # Stable: of equally long ones, the oldest.
            similar.sort(key=lambda w: abs(w.request.mean_bytes - length))
            shortest = longest = length
            for waiting in similar:
                own = waiting.request.mean_bytes
                shortest, longest = min(shortest, own), max(longest, own)
                rows += waiting.request.num_rows
                if (
                    rows > self._limits.batch_rows
                    or longest > _MOST_STRETCH * shortest
                ):
                    break
                batch.append(waiting)
        taken = set(map(id, batch))
        self._waiting = [w for w in self._waiting if id(w) not in taken]
        return batch


def _compute_all(batch: list[_Waiting]) -> list[Outputs | RequestError]:
    """Outputs of each request, or why there are none."""
    if len(batch) > 1:
        try:
            together = _compute_together(batch)
        except tf.errors.InvalidArgumentError:
            # One is at fault: the others shall have their answers.
            together = None
        except Exception as error:
            return [_failed(error)] * len(batch)
        if together is not None:
            return together
    return [_compute(waiting) for waiting in batch]


def _compute(waiting: _Waiting) -> Outputs | RequestError:
    request = waiting.request
    try:
        return waiting.version.run(request.signature, request.inputs)
    except tf.errors.InvalidArgumentError as error:
        reason = " ".join(error.message.split("\n")[0].split())
        return RequestError(400, f"the model refuses the inputs: {reason}")
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> RequestError:
    _LOG.exception("a batch failed", exc_info=error)
    return RequestError(500, "the server failed to compute an answer")


def _compute_together(batch: list[_Waiting]) -> list[Outputs] | None:
    """Outputs of each request; None if the outputs cannot be told apart."""
    version = batch[0].version
    asked = {waiting.request.signature for waiting in batch}
    signature = batch[0].request.signature
    if len(asked) > 1:
        signature = version.together(signature)
    inputs = {
        name: np.concatenate([w.request.inputs[name] for w in batch])
        for name in batch[0].request.inputs
    }
    outputs = version.run(signature, inputs)
    ends = np.cumsum([w.request.num_rows for w in batch])
    if any(
        value.ndim == 0 or len(value) != ends[-1] for value in outputs.values()
    ):
        return None
    return [
        version.pick(
            waiting.request.signature,
            {
                name: value[end - waiting.request.num_rows : end]
                for name, value in outputs.items()
            },
        )
        for waiting, end in zip(batch, ends, strict=True)
    ]
