"""Answers as a table on disk: the class `AnswersWriter`."""

import csv
import json
import pathlib
from collections.abc import Sequence
from typing import Any, TextIO

from bvkeras.errors import ArgumentError

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = ".jsonl"


def check_output(path: pathlib.Path) -> None:
    """Refuses a file whose name does not say its format.

    Raises:
        ArgumentError: it ends in something else, or is a folder.
    """
    if path.suffix not in (*_SEPARATORS, _JSON_LINES):
        raise ArgumentError(
            f"output: expected a name that ends in .csv, .tsv or .jsonl, got "
            f"{path}"
        )
    if path.is_dir():
        raise ArgumentError(f"output: {path} is a folder, expected a file")


class AnswersWriter:
    """Writes rows of answers in the format that a file's name says.

    Args:
        file: text file, open for writing with `newline=""`.
        suffix: str. `".csv"`, `".tsv"` or `".jsonl"`.
        columns: sequence of str. Names of the columns.
    """

    def __init__(self, file: TextIO, suffix: str, columns: Sequence[str]):
        self._file = file
        self._columns = list(columns)
        self._csv = None
        if suffix in _SEPARATORS:
            self._csv = csv.writer(
                file, delimiter=_SEPARATORS[suffix], lineterminator="\n"
            )
            self._csv.writerow(self._columns)

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Writes rows, each with one value a column."""
        if self._csv is not None:
            self._csv.writerows(map(_flat, row) for row in rows)
            return
        for row in rows:
            record = dict(zip(self._columns, row, strict=True))
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _flat(cell: Any) -> Any:
    """A list as JSON, and anything else as it is."""
    if isinstance(cell, list):
        return json.dumps(cell, ensure_ascii=False)
    return cell
