"""The splits of a task's tables as examples."""

import dataclasses
import pathlib

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.data.tables.held_out import choose_held_out, text_keys
from bvkeras.data.tables.kinds import kind_of
from bvkeras.data.tables.table_rows import TableRows, read_rows
from bvkeras.errors import DataError
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.table_files import TableFiles


@dataclasses.dataclass(frozen=True, eq=False)
class TableSplits:
    """Rows and labels of training and validation.

    Args:
        read: `TableRows`. What the training files hold.
        train: `TableRows`. Those to train on.
        validation: `TableRows`.
        train_labels: array of shape `(n,)`, int64 classes or float32 scores;
            of several labels a text `(n, labels)`, float32, 0 and 1.
        validation_labels: array. As `train_labels`.
        held_out: bool array, or None. Which of `read` are validation; None
            where that has files of its own.
    """

    read: TableRows
    train: TableRows
    validation: TableRows
    train_labels: np.ndarray
    validation_labels: np.ndarray
    held_out: np.ndarray | None

    def examples(self, task: str, split: str) -> Examples:
        """One split.

        Args:
            task: str. Name of the task.
            split: str. `"train"` or `"validation"`.
        """
        rows, labels = (
            (self.train, self.train_labels)
            if split == "train"
            else (self.validation, self.validation_labels)
        )
        return Examples(
            task=task,
            split=split,
            ids=tuple(rows.ids),
            texts_a=tuple(rows.texts[0]),
            texts_b=tuple(rows.texts[1]) if len(rows.texts) > 1 else None,
            labels=labels,
        )


def split_tables(
    files: TableFiles,
    text_columns: tuple[str, ...],
    label_columns: tuple[str, ...],
    train: TableRows,
    kind: Kind,
    names: tuple[str, ...] | None,
    data_dir: pathlib.Path | None = None,
) -> TableSplits:
    """Labels of the rows, and which of them are validation.

    Args:
        files: `TableFiles`.
        text_columns: tuple of one or two str.
        label_columns: tuple of str.
        train: `TableRows`. Those of `files.train`.
        kind: Kind. What the labels are.
        names: tuple of str, or None. The classes or labels; None for scores.
        data_dir: path, or None. As `read_rows`.

    Raises:
        DataError: a label is none of the task's, or there are too few rows
            to hold some out.
    """
    made = kind_of(kind)
    labels = made.labels(train, label_columns, names)
    if files.validation:
        validation = read_rows(
            files,
            files.validation,
            text_columns,
            label_columns,
            unlabelled=made.keeps_unlabelled(label_columns),
            data_dir=data_dir,
        )
        validation = made.without_unseen(validation, label_columns, names)
        validation_labels = made.labels(validation, label_columns, names)
        return TableSplits(
            train, train, validation, labels, validation_labels, None
        )
    held_out = choose_held_out(
        text_keys(train.texts),
        made.held_out_classes(labels),
        files.held_out,
        files.seed,
    )
    require_held_out(held_out, train.where(0), len(train), files.held_out)
    kept, taken = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return TableSplits(
        train,
        train.take(kept),
        train.take(taken),
        labels[kept],
        labels[taken],
        held_out,
    )


def require_held_out(
    held_out: np.ndarray, first: str, num_rows: int, share: float
) -> None:
    """Refuses rows of which none can be held out.

    Args:
        held_out: bool array `(n,)`. Which are.
        first: str. File and row of the first, for the message.
        num_rows: int. How many rows there are.
        share: float. How many were to be.

    Raises:
        DataError: none is.
    """
    if not held_out.any():
        raise DataError(
            f"{first}: and {num_rows - 1} other rows are too few "
            f"to hold {share:.0%} out, expected more rows or a "
            "validation file"
        )
