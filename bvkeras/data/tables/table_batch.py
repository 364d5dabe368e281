"""Some rows of a table file."""

import dataclasses
import pathlib
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class TableBatch:
    """Some neighbouring rows of one file, the columns that were asked for.

    Args:
        path: path. The file.
        rows: list of n int. Number of each row as a person counts: a header
            is row 1, a quoted line break begins no row, blank rows count.
        cells: dict of str to list of n. Cells by column: str of CSV; what
            JSON or Parquet holds otherwise, None where it holds nothing.
        blank: int. Blank rows left out, which lie in front of the last row
            here or at the end of the file. Defaults to `0`.
    """

    path: pathlib.Path
    rows: list[int]
    cells: dict[str, list[Any]]
    blank: int = 0

    def __len__(self) -> int:
        return len(self.rows)
