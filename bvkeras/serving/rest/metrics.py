"""What Prometheus is told of a server. No text of a request is in it."""

import time
from collections.abc import Callable

import prometheus_client as prometheus
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
# Where a route leaves its pattern in a request's scope.
PATH = "bvkeras.path"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
_TOKENS = (16, 64, 256, 1024, 2048, 4096, 16_384)


class Metrics:
    """Counts of one server, in Prometheus' own client library."""

    def __init__(self):
        self._registry = registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        self._requests = prometheus.Counter(
            "bvkeras_requests",
            "Requests answered, by path and status.",
            ("method", "path", "status"),
            registry=registry,
        )
        self._seconds = prometheus.Histogram(
            "bvkeras_request_seconds",
            "From a request's headers to the last of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_rows = prometheus.Histogram(
            "bvkeras_batch_rows",
            "Rows computed together.",
            buckets=_ROWS,
            registry=registry,
        )
        self._batch_tokens = prometheus.Histogram(
            "bvkeras_batch_tokens",
            "Tokens computed together.",
            buckets=_TOKENS,
            registry=registry,
        )
        self._batch_seconds = prometheus.Histogram(
            "bvkeras_batch_seconds",
            "Seconds a batch was computed.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = prometheus.Counter(
            "bvkeras_connections_refused",
            "Connections ended early, by the status they were told; 0: none.",
            ("status",),
            registry=registry,
        )

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Adds a number that is asked for when Prometheus comes.

        Args:
            name: str. Of the metric.
            what: str. Its meaning, a sentence.
            value: callable.
        """
        gauge = prometheus.Gauge(name, what, registry=self._registry)
        gauge.set_function(value)

    def observe_batch(self, rows: int, tokens: int, seconds: float) -> None:
        """Notes a batch that was computed."""
        self._batch_rows.observe(rows)
        self._batch_tokens.observe(tokens)
        self._batch_seconds.observe(seconds)

    def observe_refusal(self, status: int) -> None:
        """Notes a connection ended before a request or an answer was whole."""
        self._refused.labels(status).inc()

    def around(self, app: ASGIApp) -> ASGIApp:
        """An application whose requests are counted.

        Args:
            app: ASGI application. Leaves `PATH` in the scope.
        """

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 500
            began = time.monotonic()

            async def noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                path = scope.get(PATH, "other")
                # Any word can be a method: not each gets a number.
                known = scope["method"] in ("GET", "HEAD", "POST")
                method = scope["method"] if known else "other"
                self._requests.labels(method, path, status).inc()
                self._seconds.labels(path).observe(time.monotonic() - began)

        return counted

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return prometheus.generate_latest(self._registry)
