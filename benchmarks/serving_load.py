"""How many requests does a server answer, and how late are the slow ones?

`bvkeras serve` on this machine, and clients on the same machine that each send
one sentence of movie reviews after the other. What is served:

  keras_padded   `keras.Model.export` of the same encoder and head: the client
                 sends ids padded to 128 tokens, and made them beforehand
  float32        `bvkeras export`, one head; texts
  graph          the same export, its encoder computed by TensorFlow
  bfloat16       the same in bfloat16
  ten_heads      ten heads on the encoder; each request asks for all answers
  ten_tasks      the same export; each request asks for one of the ten, in turn

each with the server's batches (`on`) and with requests computed one by one
(`off`). All servers run; they are asked one after the other, in rounds, so that
what else the machine does meets all alike. Writes a line for each round, system
and number of clients; prints medians over rounds, and the median of ratios to
`keras_padded` with batches, taken within a round.

    python benchmarks/serving_load.py
    python benchmarks/serving_load.py --soak 600
    python benchmarks/serving_load.py --heavy 120

With `--soak`, instead: 64 clients ask `float32` for so many seconds; a line for
each minute with failed requests and the server's memory. Then the server is
killed and started again, and the time to its first answer is printed.

With `--heavy`, instead: of 64 clients of `float32`, 58 ask as above, and two
each ask for the most there is: hidden states of 64 long texts, which is
refused; the hidden states of as many texts as are not; and 64 rows of 128 token
ids. `/healthz` is asked ten times a second. A line for every ten
seconds, with the longest that `/healthz` took and the server's memory.
"""

import argparse
import collections
import csv
import http.client
import itertools
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
from serving_systems import BASELINE, MAX_TOKENS, PACKAGE, write_exports

import bvkeras

_RESULTS = pathlib.Path(__file__).parent / "results"
_CLIENTS = (1, 8, 64)
_SYSTEMS = {
    BASELINE: BASELINE,
    "float32": "float32",
    "graph": "float32",
    "bfloat16": "bfloat16",
    "ten_heads": "ten_heads",
    "ten_tasks": "ten_heads",
}
_BATCH_ROWS = {"on": "16", "off": "1"}
_COLUMNS = (
    *("round", "system", "batches", "clients", "seconds", "requests"),
    *("failed", "requests_per_second", "p50_ms", "p99_ms"),
)
_HEAVY_COLUMNS = (
    *("second", "kind", "clients", "answered", "refused", "late", "failed"),
    *("p50_ms", "p99_ms", "health_ms", "rss_mb"),
)
_HEAVY_SECONDS = 10.0
_SOAK_COLUMNS = ("minute", "clients", "requests", "failed", "p99_ms", "rss_mb")


class Server:
    """A server in a process of its own."""

    def __init__(
        self,
        directory: pathlib.Path,
        batch_rows: str,
        port: int = 0,
        implementation: str = "auto",
    ):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bvkeras", "serve", str(directory)),
                *("--name", "model", "--port", str(port), "--poll", "0"),
                *("--batch-rows", batch_rows, "--allow-unusual"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "BVKERAS_IMPLEMENTATION": implementation},
        )
        line = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+)/", line)[1])

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait()

    def rss_mb(self) -> float:
        """Its resident memory, in MB."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6


def ask(
    server: Server, bodies: list[bytes], clients: int, seconds: float
) -> tuple[list[float], int]:
    """Seconds of each request that was answered, and how many were not.

    Args:
        server: Server.
        bodies: list of bytes. Sent in turn.
        clients: int. Each waits for its answer before it asks again.
        seconds: float. After that, no new request is sent.
    """
    turns: Iterator[bytes] = itertools.cycle(bodies)
    lock, taken, failed = threading.Lock(), [], []
    end = time.perf_counter() + seconds

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, 60)
        while (began := time.perf_counter()) < end:
            with lock:
                body = next(turns)
            try:
                connection.request("POST", "/v1/models/model:predict", body)
                response = connection.getresponse()
                response.read()
                status = response.status
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                status = error
            if status == 200:
                taken.append(time.perf_counter() - began)
            else:
                failed.append(status)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken, len(failed)


def main() -> None:
    """Compares systems, or asks one for long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", nargs="+", default=list(_SYSTEMS))
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--heavy", type=float, metavar="SECONDS")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    encoder = bvkeras.load_backbone(PACKAGE, dropout=0.0)
    examples = bvkeras.load_examples(bvkeras.tasks.get("reviews"), "train")
    texts = examples.limit(500).texts_a
    options.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        exports = write_exports(encoder, pathlib.Path(directory))
        if options.soak:
            rows = _soak(exports["float32"], texts, options.soak)
            _write(options.results / "serving_soak.csv", _SOAK_COLUMNS, rows)
            return
        if options.heavy:
            rows = _heavy(exports["float32"], texts, options.heavy)
            _write(options.results / "serving_heavy.csv", _HEAVY_COLUMNS, rows)
            return
        systems = dict.fromkeys([BASELINE, *options.systems])
        bodies = {name: _bodies(name, encoder, texts) for name in systems}
        rows = _compare(exports, bodies, options.rounds, options.seconds)
    _write(options.results / "serving_load.csv", _COLUMNS, rows)
    _print_table(rows)


def _bodies(system, encoder, texts) -> list[bytes]:
    if system != BASELINE:
        requests = [{"instances": [text]} for text in texts]
        if system == "ten_tasks":
            for number, request in enumerate(requests):
                request["signature_name"] = f"task_{number % 10}"
        return [json.dumps(request).encode() for request in requests]
    bodies = []
    for text in texts:
        batch = encoder.preprocess([text], max_tokens=MAX_TOKENS)
        missing = ((0, 0), (0, MAX_TOKENS - batch["token_ids"].shape[1]))
        inputs = {k: np.pad(v, missing).tolist() for k, v in batch.items()}
        bodies.append(json.dumps({"inputs": inputs}).encode())
    return bodies


def _compare(exports, bodies, rounds, seconds) -> list[dict]:
    servers = {}
    rows = []
    try:
        for system in bodies:
            export = _SYSTEMS[system]
            for batches, batch_rows in _BATCH_ROWS.items():
                implementation = "reference" if system == "graph" else "auto"
                server = Server(
                    exports[export], batch_rows, implementation=implementation
                )
                servers[system, batches] = server
                # Batches of every size are met once before they are timed.
                ask(server, bodies[system], 64, 2.0)
                ask(server, bodies[system], 8, 1.0)
        for number in range(rounds):
            for clients in _CLIENTS:
                for (system, batches), server in servers.items():
                    row = _measured(server, bodies[system], clients, seconds)
                    row |= {"round": number, "system": system}
                    rows.append(row | {"batches": batches})
    finally:
        for server in servers.values():
            server.kill()
    return rows


def _measured(server, bodies, clients, seconds) -> dict:
    began = time.perf_counter()
    taken, failed = ask(server, bodies, clients, seconds)
    elapsed = time.perf_counter() - began
    p50, p99 = np.percentile(taken, [50, 99]) * 1e3
    return {
        "clients": clients,
        "seconds": round(elapsed, 3),
        "requests": len(taken),
        "failed": failed,
        "requests_per_second": round(len(taken) / elapsed, 2),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
    }


def _soak(export, texts, seconds) -> list[dict]:
    server = Server(export, _BATCH_ROWS["on"])
    bodies = _bodies("float32", None, texts)
    rows = []
    try:
        end = time.perf_counter() + seconds
        for minute in itertools.count():
            left = end - time.perf_counter()
            if left <= 0:
                break
            row = _measured(server, bodies, 64, min(60.0, left))
            row |= {"minute": minute, "rss_mb": round(server.rss_mb(), 1)}
            rows.append({name: row[name] for name in _SOAK_COLUMNS})
            print(rows[-1], flush=True)
    finally:
        server.kill()
    began = time.perf_counter()
    again = Server(export, _BATCH_ROWS["on"], server.port)
    ask(again, bodies, 1, 1e-3)
    print(
        f"killed and started again: {time.perf_counter() - began:.1f} s to "
        "the first answer"
    )
    again.kill()
    return rows


def _heavy(export, texts, seconds) -> list[dict]:
    """What 64 clients and `/healthz` are told, by ten seconds and kind."""
    kinds = {
        "text": (58, _bodies("float32", None, texts)),
        "states_refused": (2, [_states(texts, 64)]),
        "states": (2, [_states(texts, 3)]),
        "tokens": (2, [_tokens()]),
    }
    server = Server(export, _BATCH_ROWS["on"])
    end, lock = time.perf_counter() + seconds, threading.Lock()
    taken: dict[str, list[tuple[float, int | None]]] = {
        kind: [] for kind in (*kinds, "health")
    }

    def client(kind, method, path, bodies, pause):
        turns = itertools.cycle(bodies)
        while (began := time.perf_counter()) < end:
            status = _status(server, method, path, next(turns))
            with lock:
                taken[kind].append((time.perf_counter() - began, status))
            time.sleep(pause)

    path = "/v1/models/model:predict"
    asked = [
        (kind, "POST", path, bodies[number:] + bodies[:number], 0.0)
        for kind, (clients, bodies) in kinds.items()
        for number in range(clients)
    ]
    asked.append(("health", "GET", "/healthz", [None], 0.1))
    threads = [threading.Thread(target=client, args=one) for one in asked]
    for thread in threads:
        thread.start()
    rows, began = [], time.perf_counter()
    try:
        while (left := end - time.perf_counter()) > 0:
            time.sleep(min(left, _HEAVY_SECONDS))
            with lock:
                found = {kind: list(own) for kind, own in taken.items()}
                for own in taken.values():
                    own.clear()
            second = round(time.perf_counter() - began)
            health = max((took for took, _ in found["health"]), default=0.0)
            for kind, (clients, _) in kinds.items():
                row = {"second": second, "kind": kind, "clients": clients}
                row |= _outcomes(found[kind])
                row["health_ms"] = round(health * 1e3, 1)
                row["rss_mb"] = round(server.rss_mb(), 1)
                rows.append(row)
                print(row, flush=True)
        for thread in threads:
            thread.join()
    finally:
        server.kill()
    return rows


def _status(server, method, path, body) -> int | None:
    """Status of a request on a connection of its own; None: it was cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, 60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _outcomes(taken) -> dict:
    counts = collections.Counter(status for _, status in taken)
    times = [took for took, status in taken if status == 200] or [0.0]
    p50, p99 = np.percentile(times, [50, 99]) * 1e3
    known = {"answered": 200, "refused": 400, "late": 504}
    row = {name: counts.pop(status, 0) for name, status in known.items()}
    row["failed"] = counts.total()
    return row | {
        "p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1),
    }  # fmt: skip


def _states(texts, count) -> bytes:
    long = [" ".join(texts[i : i + 16]) for i in range(count)]
    body = {"signature_name": "hidden_states", "inputs": long}
    return json.dumps(body).encode()


def _tokens() -> bytes:
    ones = np.ones((64, MAX_TOKENS), int).tolist()
    names = ("token_ids", "segment_ids", "padding_mask")
    inputs = {name: ones for name in names}
    body = {"signature_name": "tokens", "inputs": inputs}
    return json.dumps(body).encode()


def _write(path, columns, rows) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _print_table(rows) -> None:
    rate = {
        (row["round"], row["clients"], row["system"], row["batches"]): row[
            "requests_per_second"
        ]
        for row in rows
    }
    cells = collections.defaultdict(list)
    for row in rows:
        cells[row["system"], row["batches"], row["clients"]].append(row)
    print("system, batches, clients: requests/s, p50 ms, p99 ms, failed, ratio")
    for (system, batches, clients), own in cells.items():
        middle, p50, p99 = (
            statistics.median(row[name] for row in own)
            for name in ("requests_per_second", "p50_ms", "p99_ms")
        )
        ratio = statistics.median(
            row["requests_per_second"]
            / rate[row["round"], clients, BASELINE, "on"]
            for row in own
        )
        print(
            f"{system}, {batches}, {clients}: "
            f"{middle:.1f}, {p50:.1f}, {p99:.1f}, "
            f"{sum(row['failed'] for row in own)}, {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
