"""A server in a process of its own, and requests to it."""

import http.client
import json
import pathlib
import re
import signal
import socket
import threading
import urllib.parse
from typing import Any

from tests.fresh_process import FreshProcess

_START_SECONDS = 120


class RunningServer:
    """`bvkeras serve` on a free port; stopped when the `with` block ends."""

    def __init__(self, directory: pathlib.Path, *options: str):
        self.process = FreshProcess(
            *("-m", "bvkeras", "serve", directory, "--port", "0", *options)
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        line = self.process.stdout.readline()
        found = re.search(r"at (http://\S+)", line)
        if found is None:
            self.process.wait(_START_SECONDS)
            self._reader.join()
            raise RuntimeError("".join(self.log))
        self.address = found[1]
        where = urllib.parse.urlsplit(self.address)
        self.host, self.port = where.hostname, where.port

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._reader.join()
        self.process.stderr.close()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def stop(self) -> int:
        """Asks it to stop, and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and body of a response; JSON is read.

        `body`: bytes go as they are, anything else as JSON.
        """
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, self.port, 60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            kind = response.headers["Content-Type"] or ""
            if kind.startswith("application/json"):
                return response.status, json.loads(content)
            return response.status, content
        finally:
            connection.close()

    def raw(self, *pieces: bytes) -> bytes:
        """What comes back for bytes that need not be HTTP."""
        address = (self.host, self.port)
        with socket.create_connection(address, 30) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                received = b""
                while piece := connection.recv(1 << 16):
                    received += piece
            except TimeoutError:
                raise
            except OSError:
                # Cut off before it had all been sent.
                return b""
            return received

    def is_alive(self) -> bool:
        """Whether it still answers."""
        return self.request("GET", "/healthz") == (200, {"status": "ok"})
