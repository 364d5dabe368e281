"""Texts that lie in a file: the class `SpooledTexts`."""

import array
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload

import numpy as np

_ROWS_AT_ONCE = 4096


class SpooledTexts(Sequence[str]):
    """Texts in a temporary file, of which 8 bytes each are in memory.

    The file lies where `tempfile` puts files (`TMPDIR` says where) and goes
    with the last object that reads it. It holds each text as JSON.

    Args:
        file: SpoolFile. As `write` made it.
        starts: int64 array `(n + 1,)`. First byte of each text in the file,
            and the end.
        rows: int64 array, or None. Which of the texts these are. Defaults to
            all.

    Example:
        ```python
        texts = SpooledTexts.write(text for text in source)
        texts[10:20]
        ```
    """

    def __init__(
        self,
        file: "SpoolFile",
        starts: np.ndarray,
        rows: np.ndarray | None = None,
    ):
        self._file, self._starts, self._rows = file, starts, rows

    @classmethod
    def write(cls, texts: Iterable[str]) -> "SpooledTexts":
        """Spools texts, one after the other.

        Raises:
            OSError: the disk is full.
        """
        writer = SpoolWriter()
        for text in texts:
            writer.add(text)
        return writer.finish()

    def __len__(self) -> int:
        if self._rows is None:
            return len(self._starts) - 1
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place):
        if isinstance(place, slice):
            rows = range(len(self))[place]
            return [json.loads(text) for text in self._json(rows)]
        return json.loads(next(self._json([range(len(self))[place]])))

    def __iter__(self) -> Iterator[str]:
        return map(json.loads, self.json_texts())

    def json_texts(self) -> Iterator[bytes]:
        """Each text as JSON, UTF-8, in order."""
        for first in range(0, len(self), _ROWS_AT_ONCE):
            rows = range(first, min(first + _ROWS_AT_ONCE, len(self)))
            yield from self._json(rows)

    def take(self, places: np.ndarray) -> "SpooledTexts":
        """Some of the texts, in the same file."""
        places = np.asarray(places, np.int64)
        rows = places if self._rows is None else self._rows[places]
        return SpooledTexts(self._file, self._starts, rows)

    def _json(self, places: Iterable[int]) -> Iterator[bytes]:
        """Reads texts; those that follow one another in one piece."""
        rows = iter(places if self._rows is None else self._rows[list(places)])
        first = next(rows, None)
        while first is not None:
            after = first + 1
            following = None
            for row in rows:
                if row != after or after - first >= _ROWS_AT_ONCE:
                    following = row
                    break
                after += 1
            starts = self._starts[first : after + 1].tolist()
            data = memoryview(self._file.read(starts[0], starts[-1]))
            for start, end in itertools.pairwise(starts):
                yield bytes(data[start - starts[0] : end - starts[0]])
            first = following


class SpoolFile:
    """A temporary file that goes with its last user.

    Raises:
        OSError: there is no place for temporary files.
    """

    def __init__(self):
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="bvkeras-")  # noqa: SIM115

    def __del__(self):
        self._file.close()

    def write(self, data: bytes) -> None:
        """Writes at the end."""
        self._file.write(data)

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`."""
        self._file.seek(start)
        return self._file.read(end - start)


class SpoolWriter:
    """Writes texts that `SpooledTexts` reads.

    Raises:
        OSError: there is no place for temporary files.
    """

    def __init__(self):
        self._file = SpoolFile()
        self._starts = array.array("q", [0])

    def add(self, text: str) -> None:
        """Writes one text more."""
        data = json.dumps(text, ensure_ascii=False).encode("utf-8")
        self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))

    def finish(self) -> SpooledTexts:
        """The texts written."""
        return SpooledTexts(
            self._file, np.frombuffer(self._starts, dtype=np.int64)
        )
