"""Hidden states as columns of Parquet or Arrow files: `TableStates`."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from bvkeras.cache.imports.layer_tensors import FLOATS, find_layers
from bvkeras.cache.imports.states_source import StatesSource
from bvkeras.cache.imports.tensor_states import (
    IDS,
    LENGTHS,
    MASKS,
    mask_lengths,
    texts_of,
    whole_lengths,
)
from bvkeras.errors import DataError
from bvkeras.fileio import open_plain
from bvkeras.printable import one_line

_BATCH_ROWS = 16
_ARROW_FILE = b"ARROW1"
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}


class TableStates(StatesSource):
    """Hidden states in the rows of a table, as nested lists.

    One column of lists of tokens of lists of layers of lists of features, or
    one column a layer, of lists of tokens of lists of features. Lists may be
    of fixed or of large size; those of `datasets` arrays are such.

    Args:
        paths: sequence of path. Parquet files, or Arrow files or streams, as
            `datasets` saves them; one after the other.
        name: str. What to call them together.
        states: str, or None. As `wanted` of `find_layers`.
        lengths: str, or None. Column with each row's tokens, where rows are
            padded. Defaults to `lengths` or `length`, if that is there.
        mask: str, or None. The same of lists of 1 for tokens and 0 for
            padding. Defaults to `attention_mask`, if that is there.

    Raises:
        DataError: a file cannot be read, a column is missing or of another
            type, or a row does not fit; names the file and the row.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        name: str,
        states: str | None = None,
        lengths: str | None = None,
        mask: str | None = None,
    ):
        self.name, self.files = name, list(paths)
        schema = self._schema()
        types = {field.name: _plain(field.type) for field in schema}
        dtypes = {column: _dtype(kind) for column, kind in types.items()}
        self._columns, self._stacked = find_layers(name, dtypes, states)
        depth = 3 if self._stacked else 2
        for column in self._columns:
            if _depth(types[column]) != depth:
                raise DataError(
                    f"{name}: {column} is of type {types[column]}, expected "
                    f"lists of tokens of lists of "
                    f"{'layers of lists of ' * self._stacked}features"
                )
        self._names = list(types)
        self._classes = _class_names(schema)
        self.dtype = max(
            (dtypes[column] for column in self._columns), key=FLOATS.index
        )
        self.width = None
        self._bounds = (
            self._bounds_column(lengths, LENGTHS),
            (self._bounds_column(mask, MASKS)),
        )
        if all(self._bounds):
            raise DataError(
                f"{name}: has columns {' and '.join(map(str, self._bounds))}, "
                "expected one of lengths and mask"
            )
        self._rows: list[int] = []
        self._scan()

    def read(self, first: int = 0) -> Iterator[np.ndarray]:
        row = first
        for batch in self._batches(self._columns, first):
            columns = [_unwrapped(batch.column(c)) for c in self._columns]
            for i in range(batch.num_rows):
                length = int(self.lengths[row])
                parts = [_values(column, i)[:length] for column in columns]
                yield parts[0] if self._stacked else np.stack(parts, axis=1)
                row += 1

    def where(self, row: int) -> str:
        for path, rows in zip(self.files, self._rows, strict=True):
            if row < rows:
                return f"{path}: row {row}"
            row -= rows
        raise IndexError(row)

    def column(self, *names: str) -> Any:
        for name in names:
            if name in self._names:
                values = [
                    value
                    for batch in self._batches([name])
                    for value in batch.column(name).to_pylist()
                ]
                classes = self._classes.get(name)
                if classes and all(value in classes for value in values):
                    return [classes[value] for value in values]
                return values
        return None

    def token_column(self, name: str) -> list[np.ndarray] | None:
        values = self.column(name)
        if values is None:
            return None
        rows = [np.asarray(value) for value in values]
        for row, (found, length) in enumerate(
            zip(rows, self.lengths, strict=True)
        ):
            if found.ndim == 0 or len(found) < length:
                raise DataError(
                    f"{self.where(row)}: {name} is of shape {found.shape}, "
                    f"expected one for each of {length} tokens"
                )
        return [
            found[:length]
            for found, length in zip(rows, self.lengths, strict=True)
        ]

    @property
    def ids(self) -> list[str] | None:
        found = self.column(*IDS)
        return None if found is None else texts_of(found)

    def _scan(self) -> None:
        """Finds layers, features and lengths, and that all rows fit."""
        lengths, mask = self._bounds
        extra = [column for column in self._bounds if column]
        found: list[int] = []
        shape: tuple[int, int] | None = None
        tokens: list[int] = []
        for path in self.files:
            before = len(tokens)
            for batch in self._batches([*self._columns, *extra], path=path):
                columns = [_unwrapped(batch.column(c)) for c in self._columns]
                first = len(tokens)
                for i in range(batch.num_rows):
                    where = f"{path}: row {len(tokens) - before}"
                    sizes = [_sizes(column, i, where) for column in columns]
                    if len({*sizes}) > 1:
                        raise DataError(
                            f"{where}: its layers are of shapes "
                            f"{', '.join(map(str, sizes))}, expected one"
                        )
                    count, *rest = sizes[0]
                    if not self._stacked:
                        rest = [len(columns), *rest]
                    shape = shape or (rest[0], rest[1])
                    if tuple(rest) != shape:
                        raise DataError(
                            f"{where}: has {rest[0]} layers of {rest[1]} "
                            f"features, the first row {shape[0]} of {shape[1]}"
                        )
                    tokens.append(count)
                most = np.array(tokens[first:], np.int64)
                if mask:
                    for i, cell in enumerate(batch.column(mask).to_pylist()):
                        found += mask_lengths(
                            str(path),
                            [cell or []],
                            (1, int(most[i])),
                            first - before + i,
                        ).tolist()
                elif lengths:
                    cells = batch.column(lengths).to_pylist()
                    for i, cell in enumerate(cells):
                        if type(cell) is not int or not 1 <= cell <= most[i]:
                            raise DataError(
                                f"{path}: row {first - before + i}: {lengths} "
                                f"is {cell!r}, expected 1 to {most[i]}"
                            )
                    found += cells
            self._rows.append(len(tokens) - before)
        if shape is None:
            raise DataError(f"{self.name}: has no rows")
        every = np.array(tokens, np.int64)
        self.lengths = whole_lengths(
            self.name, np.array(found or tokens, np.int64), every
        )
        if found and len({*tokens}) == 1:
            self.width = tokens[0]
        layers, self.hidden_dim = shape
        self.layer_names = tuple(
            map(str, range(layers)) if self._stacked else self._columns
        )

    def _bounds_column(self, given: str | None, names: Sequence[str]):
        if given is None:
            return next((name for name in names if name in self._names), None)
        if given not in self._names:
            raise DataError(
                f"{self.name}: has no column {given!r}, it has "
                f"{', '.join(self._names)}"
            )
        return given

    def _schema(self) -> pa.Schema:
        """That of all files, which must be the same."""
        schemas = []
        for path in self.files:
            with _opened(path) as file:
                schemas.append(file.schema)
            if schemas[-1] != schemas[0]:
                raise DataError(
                    f"{path}: has other columns than {self.files[0]}, "
                    f"{', '.join(schemas[-1].names)}"
                )
        return schemas[0]

    def _batches(
        self,
        columns: Sequence[str],
        first: int = 0,
        path: pathlib.Path | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Record batches of some columns, from a row of all files on."""
        for one in self.files if path is None else [path]:
            with _opened(one) as file:
                for batch in file.batches(list(dict.fromkeys(columns))):
                    if first < batch.num_rows:
                        yield batch.slice(first)
                    first = max(0, first - batch.num_rows)


class _File:
    """A file that is open: its schema, and its batches."""

    def __init__(self, schema: pa.Schema, batches):
        self.schema, self.batches = schema, batches


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[_File]:
    with contextlib.ExitStack() as stack:
        try:
            with open_plain(path) as file:
                start = file.read(len(_ARROW_FILE))
            if path.suffix.lower() == ".parquet":
                table = stack.enter_context(pyarrow.parquet.ParquetFile(path))
                yield _File(
                    table.schema_arrow,
                    lambda columns: table.iter_batches(
                        _BATCH_ROWS, columns=columns
                    ),
                )
                return
            mapped = stack.enter_context(pa.memory_map(str(path)))
            if start == _ARROW_FILE:
                arrow = stack.enter_context(pa.ipc.open_file(mapped))
                batches = map(arrow.get_batch, range(arrow.num_record_batches))
            else:
                arrow = batches = stack.enter_context(
                    pa.ipc.open_stream(mapped)
                )
            yield _File(
                arrow.schema,
                lambda columns: (batch.select(columns) for batch in batches),
            )
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such file") from None
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path}: cannot be read as a Parquet or Arrow file "
                f"({one_line(error)})"
            ) from None


def _sizes(column: pa.Array, i: int, where: str) -> tuple[int, ...]:
    """The sides of a row's nested lists, which must be even."""
    sizes: list[int] = []
    level = column.slice(i, 1)
    while True:
        if level.null_count:
            raise DataError(f"{where}: has an empty cell")
        if not _is_list(level.type):
            return tuple(sizes)
        lengths = pyarrow.compute.list_value_length(level).to_numpy()
        if not len(lengths) or lengths.min() != lengths.max():
            raise DataError(
                f"{where}: has lists of {sorted({*lengths.tolist()})} "
                "items, expected as many in each"
            )
        if not lengths[0]:
            raise DataError(f"{where}: has an empty list")
        sizes.append(int(lengths[0]))
        level = level.flatten()


def _values(column: pa.Array, i: int) -> np.ndarray:
    """A row's nested lists as an array."""
    level, sizes = column.slice(i, 1), []
    while _is_list(level.type):
        inner = level.flatten()
        sizes.append(len(inner) // len(level))
        level = inner
    return level.to_numpy(zero_copy_only=False).reshape(sizes)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.ExtensionType) else kind


def _unwrapped(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _depth(kind: pa.DataType) -> int:
    return 1 + _depth(kind.value_type) if _is_list(kind) else 0


def _dtype(kind: pa.DataType) -> str:
    """The type of what lies in nested lists; of what is no list another."""
    if not _is_list(kind):
        return str(kind) if str(kind) not in _FLOATS else f"one {kind}"
    while _is_list(kind):
        kind = kind.value_type
    return _FLOATS.get(str(kind), str(kind))


def _class_names(schema: pa.Schema) -> dict[str, dict[int, str]]:
    """The names of classes that `datasets` keeps beside a column of numbers."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        features = about["info"]["features"]
        return {
            column: dict(enumerate(feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict)
            and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
