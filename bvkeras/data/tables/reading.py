"""Reads table files of any format as a stream of batches."""

import os
import pathlib
from collections.abc import Iterator, Sequence

from bvkeras.data.tables.conll import read_conll
from bvkeras.data.tables.delimited import read_delimited
from bvkeras.data.tables.json_lines import read_json_lines
from bvkeras.data.tables.parquet import read_parquet
from bvkeras.data.tables.table_batch import TableBatch
from bvkeras.data.tables.table_paths import find_files, table_format
from bvkeras.errors import DataError

_READERS = {
    "delimited": read_delimited,
    "json": read_json_lines,
    "parquet": read_parquet,
    "conll": read_conll,
}


def open_batches(
    paths: Sequence[str | os.PathLike],
    columns: Sequence[str],
    *,
    separator: str | None = None,
    encoding: str | None = None,
    batch_rows: int = 4096,
    data_dir: str | os.PathLike | None = None,
) -> Iterator[TableBatch]:
    """Reads some columns of table files, a few thousand rows at a time.

    No more than a batch is in memory, but of a `.json` file that is one list
    and of a Parquet file inside gzip. The files are looked for at the call;
    each is opened when its turn comes.

    Args:
        paths: sequence of str or path. Files or patterns: CSV, TSV, JSON
            lines or Parquet by the ending, each also with `.gz`.
        columns: sequence of str. Columns to read; one that comes twice is
            read once.
        separator: str, or None. Between the cells of CSV. Defaults to
            `None`: found out from the header.
        encoding: str, or None. Of text files. Defaults to `None`: UTF-8, or
            UTF-16 where a byte order mark says so.
        batch_rows: int. Most rows of a batch. Defaults to `4096`.
        data_dir: str, path or None. As `find_files`.

    Returns:
        Iterator of `TableBatch`.

    Raises:
        ArgumentError: separator or encoding is none.
        DataError: a file is not there, cannot be read, lacks a column, has no
            rows, or has a row that is wrong: file and row are named.

    Example:

    >>> for batch in open_batches(["reviews/*.csv"], ["text"]):
    ...     print(batch.path, len(batch), batch.cells["text"][0])
    """
    files = find_files(paths, data_dir)
    columns = tuple(dict.fromkeys(columns))
    return _read(files, columns, separator, encoding, batch_rows)


def _read(
    files: Sequence[pathlib.Path],
    columns: tuple[str, ...],
    separator: str | None,
    encoding: str | None,
    batch_rows: int,
) -> Iterator[TableBatch]:
    for path in files:
        read = _READERS[table_format(path)]
        num_rows = 0
        for batch in read(path, columns, separator, encoding, batch_rows):
            num_rows += len(batch)
            yield batch
        if num_rows == 0:
            raise DataError(f"{path}: has no rows, expected one example a row")
