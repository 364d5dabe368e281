"""Reads Parquet files."""

import contextlib
import io
import pathlib
from collections.abc import Iterator, Sequence

from bvkeras.data.tables.columns import find_columns
from bvkeras.data.tables.table_batch import TableBatch
from bvkeras.data.tables.text_file import open_bytes
from bvkeras.errors import DataError


def read_parquet(
    path: pathlib.Path,
    columns: Sequence[str],
    separator: str | None,
    encoding: str | None,
    batch_rows: int,
) -> Iterator[TableBatch]:
    """Reads some columns of a Parquet file; its rows count from 1.

    Packed by gzip as a whole, it is unpacked in memory.

    Args:
        path: path. The file.
        columns: sequence of str. Columns to read.
        separator: str, or None. Of no meaning here.
        encoding: str, or None. Of no meaning here.
        batch_rows: int. Most rows of a batch.

    Yields:
        `TableBatch`.

    Raises:
        DataError: the file cannot be read, or a column is missing.
    """
    # Slow to import, and needed for this format alone.
    import pyarrow
    import pyarrow.parquet

    with open_bytes(path) as file, contextlib.ExitStack() as opened:
        if not file.seekable() or hasattr(file, "fileobj"):
            file = io.BytesIO(file.read())
        try:
            table = opened.enter_context(pyarrow.parquet.ParquetFile(file))
            header = table.schema_arrow.names
            find_columns(path, header, columns)
            number = 1
            for batch in table.iter_batches(batch_rows, columns=list(columns)):
                yield TableBatch(
                    path,
                    list(range(number, number + batch.num_rows)),
                    {name: batch.column(name).to_pylist() for name in columns},
                )
                number += batch.num_rows
        except pyarrow.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{path}: cannot be read ({reason}), expected a Parquet file"
            ) from None
