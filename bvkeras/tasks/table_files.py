"""Where a task of one's own has its rows."""

import dataclasses
import os
from collections.abc import Sequence

from bvkeras.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class TableFiles:
    """The table files of a task, and how they are read.

    Args:
        train: str, or sequence of str. Paths or patterns (`"data/*.csv"`) of
            training files: CSV, TSV, JSON lines or Parquet, each also with
            `.gz`. They are kept as a tuple, and made absolute.
        validation: as `train`, of validation. Defaults to `()`: a part of
            the training rows is held out.
        held_out: float in (0, 1). Share of the training rows that is held
            out where there is no validation file. Defaults to `0.1`.
        seed: int. Seed of what is held out. Defaults to `0`.
        separator: str, or None. One character between the cells of CSV.
            Defaults to `None`: found out from the header.
        encoding: str, or None. Encoding of text files. Defaults to `None`:
            UTF-8, or UTF-16 where a byte order mark says so.
        id_column: str, or None. Column whose cells name the rows. Defaults to
            `None`: a row is named by its file and its number.

    Raises:
        ArgumentError: there is no training file, or `held_out` is not between
            0 and 1.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    held_out: float = 0.1
    seed: int = 0
    separator: str | None = None
    encoding: str | None = None
    id_column: str | None = None

    def __post_init__(self):
        for name in ("train", "validation"):
            object.__setattr__(self, name, _absolute(getattr(self, name)))
        if not self.train:
            raise ArgumentError("train: received no file, expected at least 1")
        if not 0 < self.held_out < 1:
            raise ArgumentError(
                f"held_out: got {self.held_out}, expected a share between 0 "
                "and 1"
            )


def _absolute(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
) -> tuple[str, ...]:
    if isinstance(paths, (str, os.PathLike)):
        paths = (paths,)
    return tuple(os.path.abspath(path) for path in paths)
