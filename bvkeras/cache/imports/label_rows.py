"""Labels of imported hidden states: a task learned of them, and numbers."""

import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from bvkeras import tasks
from bvkeras.data.tables.class_labels import class_indices, row_classes
from bvkeras.data.tables.describe import check_own_name
from bvkeras.data.tables.kinds import kind_of
from bvkeras.data.tables.label_kind import infer_kind
from bvkeras.data.tables.table_rows import (
    BLANK,
    TableRows,
    read_rows,
)
from bvkeras.errors import ArgumentError, DataError
from bvkeras.tasks.own_settings import own_settings
from bvkeras.tasks.table_files import TableFiles

SOURCE = "imported"
# Kinds whose labels may come without their texts.
KINDS = tuple(
    kind.value
    for kind in (tasks.Kind.CLASSES, tasks.Kind.LABELS, tasks.Kind.SCORE)
)
_LABEL = "label"
_WHOLE = re.compile(r"-?\d+")


def label_rows(labels: Any, where: str) -> TableRows:
    """Labels as the cells of a table.

    Args:
        labels: list or array `(examples,)` of classes (names, or whole
            numbers) or scores; of several labels a text lists of names, or
            an array `(examples, labels)` of 0 and 1.
        where: str. The file they are of, for messages.

    Raises:
        DataError: it is of another shape or type.
    """
    if isinstance(labels, np.ndarray):
        if labels.ndim == 2 and 1 in labels.shape[1:]:
            labels = labels[:, 0]
        if labels.ndim not in (1, 2) or labels.dtype.kind not in "biufSU":
            raise DataError(
                f"{where}: labels have shape {labels.shape} and type "
                f"{labels.dtype}, expected (examples,) or (examples, labels)"
            )
        cells = [
            tuple(row) if isinstance(row, list) else row
            for row in labels.tolist()
        ]
    else:
        cells = list(labels)
    cells = [x.decode() if isinstance(x, bytes) else x for x in cells]
    count = len(cells)
    return TableRows(
        (pathlib.Path(where),),
        [(0, row) for row in range(count)],
        [str(row) for row in range(count)],
        (),
        cells,
        {},
    )


def read_label_table(
    path: pathlib.Path,
    columns: Sequence[str],
    text_columns: Sequence[str] = (),
    id_column: str | None = None,
    several: bool = False,
) -> TableRows:
    """Labels out of a table: CSV, TSV, JSON lines or Parquet.

    Args:
        path: path.
        columns: sequence of str. The label column, or those of 0 and 1.
        text_columns: sequence of up to two str. Texts, for error reports.
        id_column: str, or None. What the examples are called.
        several: bool. Whether a row may be without a label.

    Raises:
        DataError: a column is missing, or a row has no label or no text:
            then it is not known which hidden states a label is of.
    """
    files = TableFiles((str(path),), id_column=id_column)
    rows = read_rows(
        files, files.train, text_columns, columns, unlabelled=several
    )
    for reason, places in rows.dropped.items():
        if places:
            raise DataError(
                f"{rows.named(places[0])}: is one of {len(places)} {reason}, "
                "expected a label for each example"
            )
    if rows.num_blank and id_column is None:
        raise DataError(
            f"{path}: has {rows.num_blank} {BLANK}, expected one row an "
            "example; or name the examples (--id-column)"
        )
    return rows


def learn_task(
    rows: TableRows,
    name: str,
    *,
    kind: str | None = None,
    label_names: Sequence[str] | None = None,
    columns: Sequence[str] = (_LABEL,),
    max_tokens: int = 128,
) -> tasks.TaskSpec:
    """The task that labels are of.

    Args:
        rows: TableRows. Those of the training split.
        name: str. What to call the task.
        kind: str, or None. `"classification"`, `"multilabel"` or
            `"regression"`. Defaults to what the labels look like.
        label_names: sequence of str, or None. Names of the classes, by their
            numbers, or of the labels, by their columns. Defaults to those
            that are there.
        columns: sequence of str. The label column, or those of 0 and 1.
        max_tokens: int. Longest example.

    Raises:
        ArgumentError: name, kind or names cannot be.
        DataError: the labels are no labels of the kind; names the row.
    """
    check_own_name(name)
    if kind not in (None, *KINDS):
        raise ArgumentError(
            f"kind: got {kind!r}, expected one of {', '.join(KINDS)}"
        )
    kind = kind or infer_kind(rows.labels).kind
    made = kind_of(tasks.Kind(kind))
    names: Any = label_names and tuple(label_names)
    label_range = None
    columns = _columns(rows, columns, names)
    if kind == tasks.Kind.SCORE.value or names is None:
        if names is not None:
            raise ArgumentError("label_names: expected none with scores")
        names, label_range = made.learned(rows, columns)
    base, small = own_settings(len(rows), max_tokens)
    return tasks.TaskSpec(
        name=name,
        title=name,
        text_columns=("text",),
        label_column=_LABEL,
        label_names=names,
        metrics=made.metrics,
        paper_settings=base,
        small_settings=small,
        label_range=label_range,
        source=SOURCE,
        kind=tasks.Kind(kind),
    )


def label_numbers(
    task: tasks.TaskSpec, rows: TableRows, columns: Sequence[str] = (_LABEL,)
) -> np.ndarray:
    """Labels as `Kind` says.

    A class is given by its name, or by its number from 0. Where the names
    themselves are whole numbers a number is a name.

    Args:
        task: TaskSpec.
        rows: TableRows.
        columns: sequence of str. The label column, or those of 0 and 1.

    Raises:
        DataError: a label is none of the task's; names the row.
    """
    names = task.label_names
    if task.kind is not tasks.Kind.CLASSES:
        columns = _columns(rows, columns, names)
        return kind_of(task.kind).labels(rows, columns, names)
    assert names is not None
    if all(_WHOLE.fullmatch(name) for name in names):
        return class_indices(rows, columns[0], names)
    found = row_classes(rows, columns[0])
    if not all(_WHOLE.fullmatch(name) for name in found):
        return class_indices(rows, columns[0], names)
    for index, name in enumerate(found):
        if not 0 <= int(name) < len(names):
            raise DataError(
                f"{rows.where(index)}: {columns[0]} is {name}, expected 0 to "
                f"{len(names) - 1} ({', '.join(names)})"
            )
    return np.array([int(name) for name in found], np.int64)


def _columns(
    rows: TableRows, columns: Sequence[str], names: Sequence[str] | None
) -> Sequence[str]:
    """What the columns of 0 and 1 are called."""
    first = rows.labels[0] if len(rows) else None
    if not isinstance(first, tuple) or len(columns) > 1:
        return columns
    if names is None:
        raise ArgumentError(
            f"label_names: expected the names of {len(first)} columns of 0 "
            f"and 1, of {rows.files[0]}, got none"
        )
    if len(first) != len(names):
        raise DataError(
            f"{rows.where(0)}: has {len(first)} labels, expected "
            f"{len(names)} ({', '.join(names)})"
        )
    return names
