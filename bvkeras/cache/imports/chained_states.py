"""Several files as one split: the class `ChainedStates`."""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bvkeras.cache.imports.states_source import StatesSource
from bvkeras.errors import DataError


class ChainedStates(StatesSource):
    """Files with some of the examples each, one after the other.

    Args:
        sources: sequence of StatesSource, at least one.
        name: str. What to call them together.
        file_ids: sequence of str. The id of each source's example, and what
            the ids of several begin with.

    Raises:
        DataError: they differ in layers or features; names the file.
    """

    def __init__(
        self,
        sources: Sequence[StatesSource],
        name: str,
        file_ids: Sequence[str],
    ):
        self.name, self._sources, self._file_ids = name, sources, file_ids
        first = sources[0]
        for source in sources:
            for what, wanted in (
                ("layers", first.layer_names),
                ("features", first.hidden_dim),
                ("type", first.dtype),
            ):
                found = _part(source, what)
                if found != wanted:
                    raise DataError(
                        f"{source.name}: its {what} are {_shown(found)}, in "
                        f"{first.name} {_shown(wanted)}; expected the same in "
                        "all files"
                    )
        self.files = [file for source in sources for file in source.files]
        self.lengths = np.concatenate([source.lengths for source in sources])
        widths = [source.width for source in sources if source.width]
        self.width = max(widths) if len(widths) == len(sources) else None
        self.layer_names = first.layer_names
        self.hidden_dim, self.dtype = first.hidden_dim, first.dtype
        self._firsts = [
            0,
            *itertools.accumulate(len(source) for source in sources),
        ]

    def read(self, first: int = 0) -> Iterator[np.ndarray]:
        for source, start in zip(self._sources, self._firsts, strict=False):
            if first < start + len(source):
                yield from source.read(max(0, first - start))

    def where(self, row: int) -> str:
        number = bisect.bisect_right(self._firsts, row) - 1
        return self._sources[number].where(row - self._firsts[number])

    def column(self, *names: str) -> Any:
        found = [source.column(*names) for source in self._sources]
        if all(part is None for part in found):
            return None
        values: list[Any] = []
        for part, source in zip(found, self._sources, strict=True):
            if part is None:
                raise DataError(
                    f"{source.name}: has no {' or '.join(names)}, as other "
                    "files have"
                )
            part = np.asarray(part)
            # A file of one example may have it without a side of 1.
            values += part[None] if part.ndim == 0 else part
        return np.array(values) if not isinstance(values[0], list) else values

    def token_column(self, name: str) -> list[np.ndarray] | None:
        parts = [source.token_column(name) for source in self._sources]
        if all(part is None for part in parts):
            return None
        for part, source in zip(parts, self._sources, strict=True):
            if part is None:
                raise DataError(f"{source.name}: has no {name}")
        return [row for part in parts for row in part or ()]

    @property
    def ids(self) -> list[str]:
        ids: list[str] = []
        for source, file_id in zip(self._sources, self._file_ids, strict=True):
            own = source.ids
            if own is None:
                own = [file_id]
                if len(source) > 1:
                    own = [f"{file_id}-{row}" for row in range(len(source))]
            ids += own
        return ids


def _part(source, what):
    if what == "layers":
        return source.layer_names
    return source.hidden_dim if what == "features" else source.dtype


def _shown(value) -> str:
    if isinstance(value, tuple):
        more = ", …" if len(value) > 4 else ""
        return f"{len(value)} ({', '.join(value[:4])}{more})"
    return str(value)
