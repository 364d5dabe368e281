"""Connections that wait for a request, and how many there may be."""

from typing import Any

from bvkeras.serving.rest.metrics import Metrics


class Connections:
    """Those that have not sent a whole request, the longest-waiting first.

    Args:
        most: int. Most connections at a time. With one more, the one that has
            waited longest is closed: a client that sends nothing keeps nobody
            out.
        timeout: float, seconds. For a request to arrive, and for an answer to
            be taken.
        metrics: Metrics. Is told of those closed.

    Attributes:
        most, timeout, metrics: as given.
        waiting: dict of Connection to None. In the order they began to wait.
    """

    def __init__(self, most: int, timeout: float, metrics: Metrics):
        self.most, self.timeout, self.metrics = most, timeout, metrics
        self.waiting: dict[Any, None] = {}
