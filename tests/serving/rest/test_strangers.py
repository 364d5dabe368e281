"""What other sites' pages, slow clients and many of them can do."""

import contextlib
import http.client
import json
import socket
import threading
import time

import pytest

from bvkeras.serving.rest.descriptors import most_connections
from tests.serving.rest.running_server import RunningServer

PREDICT = "/v1/models/tiny:predict"
BODY = {"signature_name": "sst2", "instances": ["a joy"]}
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def hasty(exported):
    """A server that waits no longer than a second, and computes later."""
    options = ("--allowed-host=model.example", "--batch-wait=3")
    with RunningServer(
        exported.directory, f"--timeout={TIMEOUT}", *options
    ) as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "[::1]:8501"}, 200),
        ({"Host": "192.0.2.7:80"}, 200),
        ({"Host": "rebound.example:8501"}, 403),
        ({"Host": "localhost.rebound.example"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({"Host": "localhost@rebound.example"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://rebound.example"}, 403),
        ({"Origin": "null", "Content-Type": "text/plain"}, 403),
        (
            {
                "Origin": "http://rebound.example",
                "Content-Type": "Text/Plain; charset=utf-8",
            },
            403,
        ),
        ({"Origin": "http://localhost:1", "Host": "localhost:2"}, 403),
        ({"Origin": "http://localhost:1", "Host": "localhost:1"}, 200),
        # A browser asks before it sends this, and gets no leave.
        (
            {
                "Origin": "http://rebound.example",
                "Content-Type": "application/json",
            },
            200,
        ),
    ],
)
def test_pages_of_other_sites_get_nothing(server, headers, expected):
    status, answer = server.request("POST", PREDICT, BODY, **headers)
    assert status == expected, answer
    if expected != 200:
        assert answer.keys() == {"error"}
        assert "rebound" not in answer["error"]


def test_preflight_is_not_granted(server):
    answer = server.raw(
        f"OPTIONS {PREDICT} HTTP/1.1\r\nHost: localhost\r\n"
        "Origin: http://rebound.example\r\n"
        "Access-Control-Request-Method: POST\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"access-control" not in answer.lower()


def test_more_names_can_be_allowed(hasty):
    for host, expected in (("model.example", 200), ("other.example", 403)):
        status, _ = hasty.request("GET", "/healthz", Host=host)
        assert status == expected


@pytest.mark.parametrize("size", [17_000, 60_000])
def test_large_headers_are_refused_in_one_piece_too(server, size):
    head = (
        f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {'a' * size}\r\n\r\n"
    )
    answer = server.raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert server.request("GET", "/healthz", X="a" * 16_000)[0] == 200


def test_two_lengths_of_a_body_are_refused(server):
    answer = server.raw(
        f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Transfer-Encoding" in answer


def _until_closed(server, pieces, pause=0.1):
    """Seconds until a slow connection is closed, and what it was sent."""
    began = time.monotonic()
    address = (server.host, server.port)
    with socket.create_connection(address, 20) as connection:
        connection.settimeout(pause)
        for piece in pieces:
            try:
                connection.sendall(piece)
                received = connection.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                received = b""
            return time.monotonic() - began, received
    pytest.fail("it was never closed")


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nX: ", b"408"),
        (
            f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 5000\r\n\r\n".encode(),
            b"408",
        ),
    ],
)
def test_request_that_trickles_in_is_ended(hasty, first, status):
    pieces = [first, *[b"a" if first else b""] * 60]
    seconds, received = _until_closed(hasty, pieces)
    assert TIMEOUT * 0.8 < seconds < TIMEOUT + 2
    assert received[9:12] == status
    assert not received or b'{"error"' in received


def test_idle_connections_keep_nobody_out(server):
    address, opened = (server.host, server.port), []
    try:
        # The test's own bound on open files, too.
        for number in range(most_connections(1100)):
            opened.append(socket.create_connection(address, 10))
            if number % 100 == 0:
                assert server.is_alive()
        assert server.is_alive()
        assert server.request("POST", PREDICT, BODY)[0] == 200
    finally:
        for connection in opened:
            connection.close()
    assert server.is_alive()


def test_late_answer_is_504_and_names_the_option(hasty):
    status, answer = hasty.request("POST", PREDICT, BODY)
    assert status == 504
    assert answer["error"].endswith("(--timeout)")


@pytest.mark.full
def test_health_while_large_requests_are_answered(exported):
    """The short form of `benchmarks/serving_load.py --heavy`."""
    options = ("--max-values=4000000", "--max-tokens=100000")
    heavy = {"signature_name": "hidden_states", "inputs": ["word " * 40] * 64}
    body = json.dumps(heavy)
    stop, statuses, waits = threading.Event(), [], []

    def ask():
        # Not `request`: to read the JSON would keep this process busy.
        while not stop.is_set():
            where = (running.host, running.port)
            with contextlib.closing(
                http.client.HTTPConnection(*where, 60)
            ) as connection:
                connection.request("POST", PREDICT, body)
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)

    with RunningServer(exported.directory, *options) as running:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            began = time.monotonic()
            assert running.is_alive()
            waits.append(time.monotonic() - began)
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert max(waits) < 1.0


def test_metrics_have_counts_and_no_texts(server):
    body = {**BODY, "instances": ["plugh"]}
    assert server.request("POST", PREDICT, body)[0] == 200
    assert server.request("GET", "/plugh")[0] == 404
    status, text = server.request("GET", "/metrics")
    assert status == 200
    text = text.decode()
    path = "/v1/models/{name}:{verb}"
    for part in (
        f'bvkeras_requests_total{{method="POST",path="{path}",status="200"}}',
        'bvkeras_requests_total{method="GET",path="other",status="404"}',
        f'bvkeras_request_seconds_bucket{{le="0.5",path="{path}"}}',
        *("bvkeras_batch_rows_count", "bvkeras_batch_tokens_sum"),
        *("bvkeras_waiting_rows 0.0", "bvkeras_connections "),
    ):
        assert part in text
    assert "plugh" not in text
