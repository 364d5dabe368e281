"""A predictions file: one line a row, tab-separated, exact both ways."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from bvkeras.errors import ArgumentError, DataError
from bvkeras.fileio import write_text
from bvkeras.tasks.kind import LABEL_SEPARATOR
from bvkeras.tasks.label_sets import join_labels, split_labels

_FIXED_COLUMNS = ["index", "prediction", "label"]
_CLASS_SCORE = "score_"
# Of several labels a text: each by itself, they do not add up to 1.
LABEL_SCORE = "probability_"


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a predictions file holds.

    Attributes:
        ids: array of str, shape `(rows,)`. The example ids.
        predictions: array of shape `(rows,)`. Class indices (int64), or
            numbers (float64) for regression; of several labels a text int64
            `(rows, labels)`, 0 or 1.
        labels: array. As `predictions`.
        scores: array of float64. Shape `(rows, classes)`, `(rows, labels)`,
            or `(rows,)` for regression.
        label_names: tuple of str, or `None` for regression.
    """

    ids: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    label_names: tuple[str, ...] | None

    @property
    def several_labels(self) -> bool:
        """Whether a text has any number of labels, and not one class."""
        return self.labels.ndim == 2


def write_predictions(
    path: str | os.PathLike,
    ids: Sequence[int | str] | np.ndarray,
    predictions: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    label_names: Sequence[str] | None,
) -> None:
    """Writes predictions as a TSV file, atomically.

    The columns are `index`, `prediction`, `label`, then `score_<label name>`
    for each class, or `score` for regression. Classes are written by name,
    numbers with as many digits as their dtype needs to come back the same. Of
    several labels a text, `|` is between the names, a text without any has an
    empty cell, and the columns are `probability_<label name>`.

    Args:
        path: str or path. The file to write.
        ids: sequence of int or str, one a row.
        predictions: array of shape `(rows,)`. Class indices, or numbers for
            regression; of several labels a text `(rows, labels)`, 0 or 1.
        labels: array. As `predictions`.
        scores: array of shape `(rows, classes)`, `(rows, labels)`, or
            `(rows,)` for regression.
        label_names: sequence of str, one a class or label; `None` for
            regression.

    Raises:
        ArgumentError: arrays that do not fit each other, a class index that
            has no name, a number that is not finite, or an id or a label name
            with a tab or a line break; of several labels, a name that is
            empty, or has `|` in it or blanks around it.
        OSError: the file cannot be written.
    """
    ids = [_cell("ids", value) for value in ids]
    scores = np.asarray(scores)
    several = np.ndim(labels) == 2
    score_shape: tuple[int, ...] = (len(ids),)
    score_columns = ["score"]
    if label_names is not None:
        label_names = [_cell("label_names", name) for name in label_names]
        if len(set(label_names)) != len(label_names):
            raise ArgumentError(
                f"label_names: received {label_names}; expected each name once"
            )
        score_shape = (len(ids), len(label_names))
        prefix = LABEL_SCORE if several else _CLASS_SCORE
        score_columns = [f"{prefix}{name}" for name in label_names]
    if scores.shape != score_shape:
        raise ArgumentError(
            f"scores: received shape {scores.shape}; expected {score_shape}"
        )
    column_of: Callable[..., list[str]] = _set_column if several else _column
    columns = [
        ids,
        column_of("predictions", predictions, len(ids), label_names),
        column_of("labels", labels, len(ids), label_names),
    ]
    for index in range(len(score_columns)):
        column = scores if label_names is None else scores[:, index]
        columns.append(_column("scores", column, len(ids), None))
    lines = [_FIXED_COLUMNS + score_columns, *zip(*columns, strict=True)]
    write_text(path, "".join("\t".join(line) + "\n" for line in lines))


def read_predictions(path: str | os.PathLike) -> Predictions:
    """Reads what `write_predictions` wrote.

    Args:
        path: str or path. The file to read.

    Returns:
        `Predictions`.

    Raises:
        DataError: the file is not a predictions file; the message names the
            file and the line (the header is line 1).
        OSError: the file cannot be read.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; expected a predictions "
            "file"
        ) from None
    # Not splitlines(): it would also split at U+2028 and others inside an id.
    first, *rows = text.removesuffix("\n").split("\n")
    header = first.split("\t")
    score_columns = header[3:]
    regression = score_columns == ["score"]
    several = header[3:4] != [] and header[3].startswith(LABEL_SCORE)
    prefix = LABEL_SCORE if several else _CLASS_SCORE
    label_names = tuple(name.removeprefix(prefix) for name in score_columns)
    if (
        header[:3] != _FIXED_COLUMNS
        or not score_columns
        or len(set(label_names)) != len(label_names)
        or not (
            regression or all(name.startswith(prefix) for name in score_columns)
        )
    ):
        raise DataError(
            f"{path}, line 1: received the columns {header}; expected "
            f"{_FIXED_COLUMNS} and then score, score_<label name> for each "
            f"class, or {LABEL_SCORE}<label name> for each label"
        )
    classes = {name: index for index, name in enumerate(label_names)}
    value_of = _label_set if several else _class_index
    ids, outcome_rows, score_rows = [], [], []
    for number, row in enumerate(rows, start=2):
        cells = row.split("\t")
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {number}: received {len(cells)} columns; "
                f"expected {len(header)}"
            )
        where = f"{path}, line {number}"
        ids.append(cells[0])
        outcome_rows.append(
            [
                _number(f"{where}, {column}", cell)
                if regression
                else value_of(f"{where}, {column}", cell, classes)
                for column, cell in zip(header[1:3], cells[1:3], strict=True)
            ]
        )
        score_rows.append(
            [
                _number(f"{where}, {column}", cell)
                for column, cell in zip(score_columns, cells[3:], strict=True)
            ]
        )
    outcomes = np.array(
        outcome_rows, dtype=np.float64 if regression else np.int64
    ).reshape(-1, 2, *([len(label_names)] if several else []))
    scores = np.array(score_rows, dtype=np.float64).reshape(
        -1, len(score_columns)
    )
    return Predictions(
        ids=np.array(ids, dtype=str),
        predictions=outcomes[:, 0],
        labels=outcomes[:, 1],
        scores=scores[:, 0] if regression else scores,
        label_names=None if regression else label_names,
    )


def _cell(argument: str, value: int | str) -> str:
    text = str(value)
    if any(character in text for character in "\t\n\r"):
        raise ArgumentError(
            f"{argument}: received {text!r}; expected no tab and no line break"
        )
    return text


def _column(
    argument: str,
    values: np.ndarray,
    num_rows: int,
    label_names: list[str] | None,
) -> list[str]:
    values = np.asarray(values)
    if values.shape != (num_rows,):
        raise ArgumentError(
            f"{argument}: received shape {values.shape} for {num_rows} ids; "
            f"expected ({num_rows},)"
        )
    if label_names is None:
        for row, value in enumerate(values):
            if not np.isfinite(value):
                raise ArgumentError(
                    f"{argument}: row {row} is {value}; expected a finite "
                    "number"
                )
        return [str(value) for value in values]
    cells = []
    for row, value in enumerate(values):
        if value not in range(len(label_names)):
            raise ArgumentError(
                f"{argument}: row {row} is {value}; expected a class index "
                f"below {len(label_names)}"
            )
        cells.append(label_names[int(value)])
    return cells


def _set_column(
    argument: str,
    values: np.ndarray,
    num_rows: int,
    label_names: Sequence[str],
) -> list[str]:
    values, shape = np.asarray(values), (num_rows, len(label_names))
    if values.shape != shape:
        raise ArgumentError(
            f"{argument}: received shape {values.shape} for {num_rows} ids; "
            f"expected {shape}"
        )
    if not np.isin(values, (0, 1)).all():
        raise ArgumentError(f"{argument}: expected 0 or 1 for each label")
    for name in label_names:
        if not name or name != name.strip() or LABEL_SEPARATOR in name:
            raise ArgumentError(
                f"label_names: received {name!r}; expected a name without "
                f"{LABEL_SEPARATOR!r} and without blanks around it"
            )
    return [join_labels(label_names, row) for row in values]


def _number(where: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(f"{where}: received {cell!r}; expected a finite number")
    return value


def _class_index(where: str, cell: str, classes: dict[str, int]) -> int:
    if cell not in classes:
        raise DataError(
            f"{where}: received {cell!r}; expected one of {', '.join(classes)}"
        )
    return classes[cell]


def _label_set(where: str, cell: str, classes: dict[str, int]) -> list[int]:
    chosen = [0] * len(classes)
    for name in split_labels(cell):
        chosen[_class_index(where, name, classes)] = 1
    return chosen
