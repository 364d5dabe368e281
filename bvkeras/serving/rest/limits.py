"""What a server takes, and how long it tries."""

import dataclasses
import math

from bvkeras.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds on requests, and on what waits and is computed together.

    Attributes:
        batch_rows: int. Most rows computed together; 1 computes each request
            alone. A request of more rows is never split.
        batch_wait: float, seconds. How long the first request of a batch
            waits for others. With 0 a batch is what arrived while the one
            before it was computed.
        body_bytes: int. Largest body of a request.
        rows: int. Most rows in a request.
        text_bytes: int. Longest text, in bytes of UTF-8.
        waiting_rows: int. Most rows that wait; requests beyond are refused.
        timeout: float, seconds. How long a request may take to arrive, and
            then to be answered.

    Raises:
        ArgumentError: one is out of range.
    """

    batch_rows: int = 16
    batch_wait: float = 0.0
    body_bytes: int = 1 << 20
    rows: int = 64
    text_bytes: int = 20_000
    waiting_rows: int = 1024
    timeout: float = 30.0

    def __post_init__(self):
        for name in (
            *("batch_rows", "body_bytes", "rows", "text_bytes"),
            "waiting_rows",
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
