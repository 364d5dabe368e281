"""The versions of an export that a server answers for."""

import contextlib
import logging
import os
import pathlib
import time
from typing import Any

from bvkeras.errors import BvkerasError, DataError
from bvkeras.serving import layout
from bvkeras.serving.rest.loaded_run import LoadedRun
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.one_line import one_line
from bvkeras.serving.rest.request_error import RequestError
from bvkeras.serving.runs import is_run

_LOG = logging.getLogger(__name__)


class ModelVersions:
    """Keeps the newest version of a folder of exports loaded, or all.

    Args:
        directory: str or path. A folder of numbered versions, or one of them:
            then that is served, whatever else comes; or a finished run or a
            saved classifier, which is served as it is now.
        keep_all: bool. Load every version. Defaults to `False`.
        allow_unusual: bool. As of LoadedVersion. Defaults to `False`.

    Raises:
        DataError: there is no version, or the newest cannot be served.
        MissingPackageError: tensorflow-text is not installed.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        keep_all: bool = False,
        allow_unusual: bool = False,
    ):
        self._keep_all, self._allow_unusual = keep_all, allow_unusual
        self._directory = pathlib.Path(directory)
        self._is_run = is_run(self._directory)
        self._single: pathlib.Path | None = self._directory
        if not self._is_run:
            try:
                newest = layout.version_directory(directory)
            except DataError as error:
                raise DataError(
                    f"{error}, or a finished run, or a saved classifier"
                ) from None
            self._single = newest if newest == self._directory else None
        self._loaded: dict[int, LoadedVersion] = {}
        # Number to what its files were, and why they cannot be served.
        self._failed: dict[int, tuple[tuple, str]] = {}
        self.refresh()
        newest_number = max(self._found())
        if newest_number not in self._loaded:
            raise DataError(self._failed[newest_number][1])

    def get(self, number: int | None = None) -> LoadedVersion:
        """A version to ask.

        Args:
            number: int. Defaults to the newest.

        Raises:
            RequestError: it is not loaded.
        """
        loaded = self._loaded
        if number is None:
            number = max(loaded)
        if number not in loaded:
            raise RequestError(
                404, f"version {number} is not served: {sorted(loaded)} are"
            )
        return loaded[number]

    def number_of(self, version: LoadedVersion) -> int:
        """The number a version is served under."""
        return next(n for n, v in self._loaded.items() if v is version)

    def status(self, number: int | None = None) -> list[dict[str, Any]]:
        """States as TensorFlow Serving shows them, the newest first.

        Args:
            number: int. Of one version alone. Defaults to all.

        Raises:
            RequestError: nothing is known of that version.
        """
        states = {
            n: ("END", message) for n, (_, message) in self._failed.items()
        }
        states |= {n: ("AVAILABLE", "") for n in self._loaded}
        if number is not None:
            if number not in states:
                raise RequestError(404, f"there is no version {number}")
            states = {number: states[number]}
        return [
            {
                "version": str(n),
                "state": state,
                "status": {
                    "error_code": "UNKNOWN" if message else "OK",
                    "error_message": message,
                },
            }
            for n, (state, message) in sorted(states.items(), reverse=True)
        ]

    def refresh(self) -> None:
        """Loads versions that are new, and lets go of those not kept.

        A version that cannot be served is logged once, and tried again when
        its files change; the ones before it stay. What is asked of a version
        that is let go is still answered.
        """
        found = self._found()
        wanted = found if self._keep_all else dict(sorted(found.items())[-1:])
        loaded = {n: v for n, v in self._loaded.items() if n in found}
        for number, path in wanted.items():
            if number not in loaded:
                version = self._load(number, path)
                if version is not None:
                    loaded[number] = version
        served = {n: v for n, v in loaded.items() if n in wanted}
        # A new version that fails takes nothing from the one before it; nor
        # does a folder that is emptied.
        self._loaded = served or loaded or self._loaded
        self._failed = {n: f for n, f in self._failed.items() if n in found}

    def _found(self) -> dict[int, pathlib.Path]:
        if self._single is not None:
            name = self._single.name
            number = int(name) if name.isascii() and name.isdigit() else 1
            return {number: self._single}
        return {
            number: self._directory / str(number)
            for number in layout.versions(self._directory)
        }

    def _load(self, number: int, path: pathlib.Path) -> LoadedVersion | None:
        files = _fingerprint(path)
        if self._failed.get(number, (None,))[0] == files:
            return None
        began = time.monotonic()
        try:
            if self._is_run:
                version: LoadedVersion = LoadedRun(path)
            else:
                version = LoadedVersion(path, self._allow_unusual)
            version.warm_up()
        # Whatever strange files make of the code that reads them: it is told
        # once, and not tried at every poll.
        except Exception as error:
            reason = one_line(error)
            if not isinstance(error, BvkerasError | OSError):
                reason = f"{path}: {type(error).__name__}: {reason}"
            self._failed[number] = (files, reason)
            _LOG.error("version %d is not served: %s", number, reason)
            return None
        self._failed.pop(number, None)
        seconds = time.monotonic() - began
        _LOG.info("version %d is ready, after %.1f s", number, seconds)
        return version


def _fingerprint(path: pathlib.Path) -> tuple:
    """Differs when a file of a version was written since."""
    found = []
    for file in sorted(path.rglob("*")):
        # It may be gone by now.
        with contextlib.suppress(FileNotFoundError):
            status = file.lstat()
            found.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(found)
