"""A request while it is computed, part by part."""

import asyncio
import collections
import dataclasses
from collections.abc import Iterator

import numpy as np

from bvkeras.serving.ragged_rows import join_rows
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.predict_request import PredictRequest
from bvkeras.serving.rest.request_error import RequestError
from bvkeras.serving.rest.request_size import RequestSize

Outputs = dict[str, np.ndarray]
# Of a batch's tokens, from which on a request is large.
_LARGE_PART = 8


@dataclasses.dataclass(eq=False)
class Part:
    """Some rows of a request, computed at a time.

    Attributes:
        job: Job it is of.
        rows: int array. The rows' places in the request.
        inputs: dict of name to array; those of these rows.
        size: RequestSize. That of these rows.
        key: tuple, or None. Equal for parts that can be one batch; None: for
            no other.
        length: float. Tokens of a row, on average.
    """

    job: "Job"
    rows: np.ndarray
    inputs: dict[str, np.ndarray]
    size: RequestSize
    key: tuple | None = dataclasses.field(init=False)
    length: float = dataclasses.field(init=False)

    def __post_init__(self):
        version, signature = self.job.version, self.job.request.signature
        self.length = float(self.size.row_tokens.mean())
        together = version.together(signature)
        shapes = sorted((n, a.shape[1:]) for n, a in self.inputs.items())
        self.key = together and (id(version), together, tuple(shapes))

    @property
    def signature(self) -> str:
        """The signature that is asked."""
        return self.job.request.signature


class Job:
    """A request, its parts that wait, and the outputs of those that are done.

    Args:
        version: LoadedVersion to ask.
        request: PredictRequest.
        limits: Limits. Of what is computed at a time.

    Attributes:
        version, request: as given.
        parts: deque of Part. Those that wait.
        is_large: bool. Whether it takes much of a batch by itself.
        answer: asyncio.Future of the outputs. Cancelled, nothing more of the
            request is computed.
    """

    def __init__(
        self, version: LoadedVersion, request: PredictRequest, limits: Limits
    ):
        self.version, self.request = version, request
        self.answer = asyncio.get_running_loop().create_future()
        self.parts = collections.deque(
            Part(
                self,
                rows,
                {name: array[rows] for name, array in request.inputs.items()},
                request.size.take(rows),
            )
            for rows in _split(version, request, limits)
        )
        self._num_parts = len(self.parts)
        large_tokens = limits.batch_tokens // _LARGE_PART
        self.is_large = request.size.num_tokens > large_tokens
        self._done: list[tuple[np.ndarray, Outputs]] = []

    @property
    def is_over(self) -> bool:
        """Whether it is answered, or nobody waits for an answer."""
        return self.answer.done()

    def finish(self, part: Part, outcome: Outputs | RequestError) -> None:
        """Takes a part's outputs, or why there are none.

        Args:
            part: Part of this job.
            outcome: dict of name to array, or RequestError.
        """
        if self.is_over:
            return
        if isinstance(outcome, RequestError):
            self.answer.set_exception(outcome)
            return
        self._done.append((part.rows, outcome))
        if len(self._done) < self._num_parts:
            return
        if self._num_parts == 1:
            self.answer.set_result(outcome)
            return
        # Where each row of the request is now.
        places = np.argsort(np.concatenate([rows for rows, _ in self._done]))
        self.answer.set_result(
            {
                name: join_rows([done[name] for _, done in self._done])[places]
                for name in outcome
            }
        )


def _split(
    version: LoadedVersion, request: PredictRequest, limits: Limits
) -> Iterator[np.ndarray]:
    """Rows to compute at a time, alike in length."""
    size, every = request.size, np.arange(request.num_rows)

    def fits(rows):
        return (
            len(rows) <= limits.batch_rows
            and size.take(rows).num_tokens <= limits.batch_tokens
        )

    if fits(every) or not version.splits(request.signature):
        yield every
        return
    rows: list[int] = []
    for row in np.argsort(size.row_tokens, kind="stable"):
        if rows and not fits([*rows, row]):
            yield np.array(rows)
            rows = []
        rows.append(row)
    yield np.array(rows)
