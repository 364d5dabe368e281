"""Who makes which shard, among processes that share a folder."""

import contextlib
import os
import pathlib
import threading
import time
import uuid
from typing import Self

import psutil

from bvkeras import fileio
from bvkeras.errors import DataError
from bvkeras.schema import COUNT, TEXT, record_of

# A claim that nobody has touched for so long has run out. Network file
# systems tell of a touch up to a minute late.
CLAIM_SECONDS = 120.0
_TOUCHES_A_CLAIM = 6
_SUFFIX = ".claim"
_SCHEMA = record_of(owner=TEXT, host=TEXT, process=COUNT)


class Claims:
    """Claims of one process; each is a file that it touches while it works.

    Files are made so that of several processes one succeeds, as any shared
    file system does it. A claim runs out when its file does not change for
    `seconds` of the watching process' own clock, whatever the machines'
    clocks say, and at once when its process was of this machine and is gone.

    Claims save work and protect nothing: two processes can come to hold the
    same one, where the first was stopped for long. What is done under a claim
    has to stay right when it is done twice.

    Args:
        directory: path. The folder, which all processes share.
        seconds: float. How long a claim stands untouched.

    Example:
        ```python
        with Claims(directory) as claims:
            if claims.take("00003"):
                work()
                claims.drop("00003")
        ```
    """

    def __init__(self, directory: pathlib.Path, seconds: float = CLAIM_SECONDS):
        self._directory, self._seconds = directory, seconds
        self._owner = uuid.uuid4().hex
        self._held: set[str] = set()
        # By file: what it looked like, and since when.
        self._seen: dict[pathlib.Path, tuple[tuple[int, int], float]] = {}
        self._stop = threading.Event()
        self._toucher = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> Self:
        self._toucher.start()
        return self

    def __exit__(self, *exception) -> None:
        self._stop.set()
        self._toucher.join()
        for name in list(self._held):
            self.drop(name)

    def take(self, name: str) -> bool:
        """Claims something, if no living process has it.

        Raises:
            OSError: the folder is not there, or cannot be written.
        """
        path = self._path(name)
        if self._make(path):
            self._held.add(name)
            return True
        if not self._has_run_out(path):
            return False
        # Of several that saw it run out, each moves it out of the way once;
        # at worst a new claim goes too, and a shard is made twice.
        gone = path.with_name(f"{path.name}.{self._owner}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, gone)
            gone.unlink()
        if not self._make(path):
            return False
        self._held.add(name)
        return True

    def holds(self, name: str) -> bool:
        """Whether a claim is still this process' own."""
        try:
            found = fileio.read_json(self._path(name), _SCHEMA)
        except (OSError, DataError):
            return False
        return found["owner"] == self._owner

    def drop(self, name: str) -> None:
        """Gives a claim back; nothing happens if it was lost."""
        if self.holds(name):
            self._path(name).unlink(missing_ok=True)
        self._held.discard(name)

    def _path(self, name: str) -> pathlib.Path:
        return self._directory / f"{name}{_SUFFIX}"

    def _make(self, path: pathlib.Path) -> bool:
        """Makes a claim's file, unless there is one."""
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        text = fileio.json_text(
            {
                "owner": self._owner,
                "host": fileio.HOST,
                "process": os.getpid(),
            }
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return True

    def _has_run_out(self, path: pathlib.Path) -> bool:
        try:
            stat = path.stat()
        except FileNotFoundError:
            return True
        looks = (stat.st_mtime_ns, stat.st_ino)
        if self._seen.get(path, (None, 0.0))[0] != looks:
            self._seen[path] = (looks, time.monotonic())
        if time.monotonic() - self._seen[path][1] >= self._seconds:
            return True
        try:
            found = fileio.read_json(path, _SCHEMA)
        except (OSError, DataError):
            # Being made, or being removed: its age will tell.
            return False
        return found["host"] == fileio.HOST and _has_ended(found["process"])

    def _touch(self) -> None:
        while not self._stop.wait(self._seconds / _TOUCHES_A_CLAIM):
            for name in list(self._held):
                with contextlib.suppress(OSError):
                    os.utime(self._path(name))


def _has_ended(process: int) -> bool:
    try:
        status = psutil.Process(process).status()
    except psutil.NoSuchProcess:
        return True
    return status == psutil.STATUS_ZOMBIE
