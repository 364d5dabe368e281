"""Texts and labels out of what people keep them in."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bvkeras.errors import ArgumentError


class Texts(NamedTuple):
    """One or two columns of texts, and what they are called.

    Attributes:
        columns: list of lists of str, one or two.
        names: tuple of str, or None. Names of the columns, where there are.
    """

    columns: list[list[str]]
    names: tuple[str, ...] | None


def read_texts(
    x: Any, names: Sequence[str] | None = None, label: str | None = None
) -> Texts:
    """Reads texts, or pairs of texts.

    Args:
        x: a list, array or column of str; a tuple of two of those, pairs of
            texts; a table: a DataFrame, a dict of columns or a
            `datasets.Dataset`; a `tf.data.Dataset` of texts.
        names: sequence of str, or None. The table's columns with texts.
            Defaults to those that hold str, if they are one or two.
        label: str, or None. The table's column with labels, which are none.

    Raises:
        ArgumentError: it is something else, or a text is no str; names the
            row.
    """
    if isinstance(x, str):
        raise ArgumentError("x: expected a list of texts, got one str")
    if isinstance(x, tf.data.Dataset):
        return Texts(_dataset_texts(x), None)
    if is_table(x):
        names = tuple(names or _text_columns(x, label))
        for name in names:
            require_column(x, name)
        return Texts([_texts(x[name], f"x[{name!r}]") for name in names], names)
    if isinstance(x, tuple) and len(x) == 2 and not isinstance(x[0], str):
        columns = [_texts(column, f"x[{i}]") for i, column in enumerate(x)]
        if len(columns[0]) != len(columns[1]):
            raise ArgumentError(
                f"x: expected as many second texts as first, got "
                f"{len(columns[0])} and {len(columns[1])}"
            )
        return Texts(columns, None)
    return Texts([_texts(x, "x")], None)


def split_dataset(x: tf.data.Dataset) -> tuple[Any, list]:
    """Texts and labels of a `tf.data.Dataset` of pairs, batched or not.

    Returns:
        What `read_texts` takes, and a list of labels.

    Raises:
        ArgumentError: it has no labels.
    """
    spec = x.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ArgumentError(
            "x: expected a tf.data.Dataset of texts and labels, or y"
        )
    texts, labels = x.map(lambda a, b: a), x.map(lambda a, b: b)
    first = spec[0][0] if isinstance(spec[0], tuple) else spec[0]
    is_batched = len(first.shape) > 0
    return (
        _pair_or_one(_dataset_texts(texts)),
        _dataset_labels(labels, is_batched),
    )


def read_labels(y: Any, x: Any = None) -> list:
    """Labels as a list of Python values, one a row.

    Args:
        y: a list, array or column; or the name of a column of the table `x`.
            Several labels a text are a list, tuple or set of them, a row of
            a two-dimensional array of 0 and 1, or one of a table of such
            columns, which are named by the labels.
        x: what `read_texts` takes.

    Returns:
        list; of several labels a text of tuples, or of the array's rows.

    Raises:
        ArgumentError: there is no such column, or a table's cell is neither
            0 nor 1.
    """
    if isinstance(y, str):
        if not is_table(x):
            raise ArgumentError(
                f"y: got the column name {y!r}, and x is no table"
            )
        require_column(x, y)
        y = x[y]
    if isinstance(y, tf.data.Dataset):
        # One row an element, or a batch of them.
        return _dataset_labels(y, len(y.element_spec.shape) > 0)
    # Not of lists, which may be of different lengths.
    if len(getattr(y, "shape", ())) == 2 and not is_table(y):
        return list(np.asarray(y))
    if is_table(y):
        return _flagged(y)
    if not hasattr(y, "__iter__"):
        raise ArgumentError(
            f"y: expected labels, one a text, got {type(y).__name__}"
        )
    return [_label(item) for item in y]


def _dataset_labels(labels: tf.data.Dataset, is_batched: bool) -> list:
    rows = labels.unbatch() if is_batched else labels
    return [
        item if np.ndim(item) else _plain(item)
        for item in rows.as_numpy_iterator()
    ]


def _flagged(y: Any) -> list[tuple]:
    """Of each row of a table the columns that are 1."""
    names = column_names(y)
    columns = [list(y[name]) for name in names]
    counts = {len(column) for column in columns}
    if len(counts) > 1:
        raise ArgumentError(
            f"y: its columns have {sorted(counts)} rows, expected as many each"
        )
    for name, column in zip(names, columns, strict=True):
        for row, cell in enumerate(column):
            if not np.isscalar(cell) or cell not in (0, 1):
                raise ArgumentError(
                    f"y[{name!r}]: row {row} is {cell!r:.40}, expected 0 or 1"
                )
    return [
        tuple(name for name, cell in zip(names, row, strict=True) if cell)
        for row in zip(*columns, strict=True)
    ]


def _label(item: Any) -> Any:
    """A label as Python's own; several of them as a tuple."""
    # A cell of a Parquet column of lists is an array.
    if isinstance(item, list | tuple | set | frozenset | np.ndarray):
        return tuple(_plain(one) for one in item)
    return _plain(item)


def is_table(x: Any) -> bool:
    """Whether it is a DataFrame, a dict of columns or a `datasets.Dataset`."""
    # A DataFrame has `columns`, a datasets.Dataset `column_names`.
    return isinstance(x, Mapping) or any(
        hasattr(x, name) for name in ("columns", "column_names")
    )


def column_names(x: Any) -> list[str]:
    """Names of a table's columns."""
    for name in ("column_names", "columns"):
        if hasattr(x, name):
            return [str(column) for column in getattr(x, name)]
    return [str(name) for name in x]


def require_column(x: Any, name: str) -> None:
    """Refuses a table without a column.

    Raises:
        ArgumentError: there is none of that name.
    """
    if name not in column_names(x):
        raise ArgumentError(
            f"x: has no column {name!r}, it has {', '.join(column_names(x))}"
        )


def _text_columns(x: Any, label: str | None) -> list[str]:
    found = []
    for name in column_names(x):
        column = x[name]
        first = next(iter(column), None)
        if name != label and isinstance(first, str):
            found.append(name)
    if len(found) in (1, 2):
        return found
    raise ArgumentError(
        f"x: {len(found)} of its columns {', '.join(column_names(x))} hold "
        "texts, expected one or two; name them by text="
    )


def _texts(column: Any, where: str) -> list[str]:
    if isinstance(column, str | bytes) or not hasattr(column, "__iter__"):
        raise ArgumentError(
            f"{where}: expected a list of texts, got {type(column).__name__}"
        )
    texts = [_plain(text) for text in column]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ArgumentError(
                f"{where}: row {row} is {text!r:.40}, expected str"
            )
    return texts


def _dataset_texts(x: tf.data.Dataset) -> list[list[str]]:
    if isinstance(x.element_spec, tuple):
        parts = len(x.element_spec)
        columns = [
            [_plain(item) for item in _flat(x.map(lambda *t, i=i: t[i]))]
            for i in range(parts)
        ]
    else:
        columns = [[_plain(item) for item in _flat(x)]]
    if len(columns) > 2:
        raise ArgumentError(
            f"x: expected texts or pairs of texts, got {len(columns)} parts"
        )
    return [_texts(column, "x") for column in columns]


def _flat(x: tf.data.Dataset):
    """The elements of a dataset, or the rows of its batches."""
    for item in x.as_numpy_iterator():
        if np.ndim(item) == 0:
            yield item
        else:
            yield from item


def _pair_or_one(columns: list[list[str]]) -> Any:
    return columns[0] if len(columns) == 1 else tuple(columns)


def _plain(value: Any) -> Any:
    """A value of numpy or TensorFlow as Python's own."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    return value.item() if isinstance(value, np.generic) else value
