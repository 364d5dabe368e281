"""What a server takes, and how long it tries."""

import dataclasses
import math

from bvkeras.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds on requests, and on what waits and is computed together.

    Attributes:
        batch_rows: int. Most rows computed together; 1 computes each row
            alone.
        batch_tokens: int. Most tokens computed together, padding counted: what
            runs on when its request has timed out. A row of more, a context
            with all its windows, is computed alone.
        batch_wait: float, seconds. How long the first request of a batch
            waits for others. With 0 a batch is what arrived while the one
            before it was computed.
        body_bytes: int. Largest body of a request.
        rows: int. Most rows in a request.
        text_bytes: int. Longest text, in bytes of UTF-8.
        tokens: int. Most tokens of a request, padding counted.
        values: int. Most numbers and texts in an answer.
        waiting_rows: int. Most rows that wait; requests beyond are refused.
        timeout: float, seconds. How long a request may take to arrive, then
            to be computed, and then its answer to be taken.

    Raises:
        ArgumentError: one is out of range.
    """

    batch_rows: int = 16
    batch_tokens: int = 2048
    batch_wait: float = 0.0
    body_bytes: int = 1 << 20
    rows: int = 64
    text_bytes: int = 20_000
    tokens: int = 16_384
    values: int = 1 << 20
    waiting_rows: int = 1024
    timeout: float = 30.0

    def __post_init__(self):
        for name in (
            *("batch_rows", "batch_tokens", "body_bytes", "rows"),
            *("text_bytes", "tokens", "values", "waiting_rows"),
        ):
            if getattr(self, name) < 1:
                raise ArgumentError(
                    f"{name}: received {getattr(self, name)}, expected at "
                    "least 1"
                )
        if not 0 <= self.batch_wait < math.inf:
            raise ArgumentError(
                f"batch_wait: received {self.batch_wait}, expected seconds, "
                "at least 0"
            )
        if not 0 < self.timeout < math.inf:
            raise ArgumentError(
                f"timeout: received {self.timeout}, expected seconds, more "
                "than 0"
            )
