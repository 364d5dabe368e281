"""The rows of a task's files, whole, with what was dropped of them."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bvkeras.data.tables.label_cells import is_missing
from bvkeras.data.tables.reading import open_batches
from bvkeras.data.tables.table_paths import find_files, short_names
from bvkeras.errors import DataError
from bvkeras.tasks.table_files import TableFiles

BLANK = "blank rows"
EMPTY_TEXT = "rows with an empty text"
NO_LABEL = "rows without a label"


@dataclasses.dataclass(frozen=True, eq=False)
class TableRows:
    """Rows with texts and label cells.

    Args:
        files: tuple of path. The files they are from.
        places: list of n pairs of int. Which file, and the row there.
        ids: list of n str.
        texts: tuple of one or two lists of n str.
        labels: list of n. Label cells as they were read.
        dropped: dict of reason to list of places. Rows that are not here; of
            blank rows the places are not known.
        num_blank: int. Blank rows, dropped as well. Defaults to `0`.
    """

    files: tuple[pathlib.Path, ...]
    places: list[tuple[int, int]]
    ids: list[str]
    texts: tuple[list[str], ...]
    labels: list[Any]
    dropped: dict[str, list[tuple[int, int]]]
    num_blank: int = 0

    def __len__(self) -> int:
        return len(self.places)

    @property
    def num_read(self) -> int:
        """Rows of the files, dropped ones and not the headers counted."""
        return len(self) + self.num_blank + sum(map(len, self.dropped.values()))

    def where(self, index: int) -> str:
        """File and row of a row here, to begin a message with."""
        return self.named(self.places[index])

    def named(self, place: tuple[int, int]) -> str:
        """File and row of a place."""
        file, row = place
        return f"{self.files[file]}: row {row}"

    def short(self, index: int) -> str:
        """The file's name and the row, for a note."""
        file, row = self.places[index]
        return f"{self.files[file].name} row {row}"

    def take(self, indices: Iterable[int]) -> "TableRows":
        """Picks rows by position; of what was dropped nothing is kept."""
        indices = list(indices)
        return TableRows(
            self.files,
            [self.places[i] for i in indices],
            [self.ids[i] for i in indices],
            tuple([column[i] for i in indices] for column in self.texts),
            [self.labels[i] for i in indices],
            {},
        )

    def extended(self, more: "TableRows") -> "TableRows":
        """These rows, in place, with more of the same files after them."""
        self.places.extend(more.places)
        self.ids.extend(more.ids)
        for column, texts in zip(self.texts, more.texts, strict=True):
            column.extend(texts)
        self.labels.extend(more.labels)
        for reason, places in more.dropped.items():
            self.dropped[reason].extend(places)
        return self

    def drop(self, reason: str, indices: Sequence[int]) -> "TableRows":
        """The rows without some, which count as dropped for a reason."""
        gone = set(indices)
        kept = self.take(i for i in range(len(self)) if i not in gone)
        places = [self.places[i] for i in indices]
        return dataclasses.replace(
            kept,
            dropped=self.dropped | {reason: places},
            num_blank=self.num_blank,
        )


def read_rows(
    files: TableFiles,
    patterns: Sequence[str],
    text_columns: Sequence[str],
    label_columns: Sequence[str],
    *,
    unlabelled: bool = False,
    data_dir: str | pathlib.Path | None = None,
) -> TableRows:
    """Reads the rows of some of a task's files.

    Rows with an empty text or without a label are dropped and counted.

    Args:
        files: `TableFiles`. How files are read.
        patterns: sequence of str. Those of `files.train` or of
            `files.validation`.
        text_columns: sequence of one or two str.
        label_columns: sequence of str. With several, a label is the tuple of
            their cells.
        unlabelled: bool. Whether a row without a label stays. Defaults to
            `False`.
        data_dir: str, path or None. As `open_batches`.

    Raises:
        DataError: a file or a cell is not as expected, an id comes twice, or
            no row is left.
    """
    whole: TableRows | None = None
    num_blank = 0
    for part in row_batches(
        files,
        patterns,
        text_columns,
        label_columns,
        unlabelled=unlabelled,
        data_dir=data_dir,
    ):
        num_blank += part.num_blank
        whole = part if whole is None else whole.extended(part)
    assert whole is not None, "the reader refuses files without rows"
    rows = dataclasses.replace(whole, num_blank=num_blank)
    require_rows(rows, label_columns)
    require_good_ids(rows, files.id_column)
    return rows


def row_batches(
    files: TableFiles,
    patterns: Sequence[str],
    text_columns: Sequence[str],
    label_columns: Sequence[str],
    *,
    unlabelled: bool = False,
    data_dir: str | pathlib.Path | None = None,
) -> Iterator[TableRows]:
    """What `read_rows` reads, a few thousand rows at a time.

    Args:
        files: `TableFiles`. As `read_rows`, and so are the others.
        patterns: sequence of str.
        text_columns: sequence of one or two str.
        label_columns: sequence of str.
        unlabelled: bool.
        data_dir: str, path or None.

    Yields:
        `TableRows`, whose ids nobody has looked at.

    Raises:
        DataError: a file or a cell is not as expected.
    """
    paths = find_files(patterns, data_dir)
    names = row_names(paths, files, data_dir)
    id_columns = [files.id_column] if files.id_column else []
    for batch in open_batches(
        paths,
        (*text_columns, *label_columns, *id_columns),
        separator=files.separator,
        encoding=files.encoding,
    ):
        rows = TableRows(
            paths,
            [],
            [],
            tuple([] for _ in text_columns),
            [],
            {EMPTY_TEXT: [], NO_LABEL: []},
            batch.blank,
        )
        _add(
            rows,
            batch,
            names,
            text_columns,
            label_columns,
            id_columns,
            unlabelled,
        )
        yield rows


def row_names(
    paths: Sequence[pathlib.Path],
    files: TableFiles,
    data_dir: str | pathlib.Path | None,
) -> list[str]:
    """What the ids of each file's rows begin with, no two alike.

    Raises:
        DataError: a file is of training and of validation.
    """
    train = find_files(files.train, data_dir)
    validation = find_files(files.validation, data_dir)
    for path in validation:
        if path.resolve() in {other.resolve() for other in train}:
            raise DataError(
                f"{path}: is a file of training and of validation, expected "
                "other rows for validation (without any, some are held out)"
            )
    everything = (*train, *validation)
    named = dict(zip(everything, short_names(everything), strict=True))
    # An id stands in tab-separated files.
    return [" ".join(named[path].split()) for path in paths]


def _add(
    rows, batch, names, text_columns, label_columns, id_columns, unlabelled
):
    file = rows.files.index(batch.path)
    texts = [_texts(batch, name) for name in text_columns]
    labels = [batch.cells[name] for name in label_columns]
    labels = labels[0] if len(labels) == 1 else list(zip(*labels, strict=True))
    given = _texts(batch, id_columns[0]) if id_columns else None
    for index, number in enumerate(batch.rows):
        place = (file, number)
        row_texts = [column[index] for column in texts]
        label = labels[index]
        if not all(row_texts):
            rows.dropped[EMPTY_TEXT].append(place)
            continue
        if not unlabelled and any(
            map(is_missing, label if isinstance(label, tuple) else (label,))
        ):
            rows.dropped[NO_LABEL].append(place)
            continue
        rows.places.append(place)
        rows.ids.append(given[index] if given else f"{names[file]}-{number}")
        for column, text in zip(rows.texts, row_texts, strict=True):
            column.append(text)
        rows.labels.append(label)


def _texts(batch, name):
    """The texts of a column, empty ones as `""`."""
    texts = []
    for number, cell in zip(batch.rows, batch.cells[name], strict=True):
        where = f"{batch.path}: row {number}: {name}"
        if isinstance(cell, (list, dict, bytes)):
            raise DataError(
                f"{where} is a {type(cell).__name__}, expected text"
            )
        text = "" if cell is None else str(cell)
        if not text.isascii() and not is_unicode(text):
            raise DataError(
                f"{where} holds half of a surrogate pair, expected Unicode"
            )
        texts.append("" if text.isspace() else text)
    return texts


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def require_rows(rows: TableRows, label_columns: Sequence[str]) -> None:
    """Refuses rows of which none is left.

    Raises:
        DataError: all were dropped; names the first and why.
    """
    if len(rows):
        return
    # The reader refuses files without rows, so some reason is there.
    reason, places = max(rows.dropped.items(), key=lambda item: len(item[1]))
    column = f" in {label_columns[0]!r}" if reason == NO_LABEL else ""
    raise DataError(
        f"{rows.named(places[0])}: is one of {len(places)} {reason}{column}, "
        "and no other row is there; expected texts with labels"
    )


def require_good_ids(rows: TableRows, id_column: str | None) -> None:
    """Refuses ids of an id column that name no row, or two.

    Raises:
        DataError: an id is empty, cannot stand in a table, or comes twice.
    """
    if id_column is None:
        return
    seen: dict[str, Any] = {}
    for index, name in enumerate(rows.ids):
        where = f"{rows.where(index)}: {id_column} is {name!r}"
        if not name or not name.isprintable():
            raise DataError(
                f"{where}, expected an id without tabs and line breaks"
            )
        if name in seen:
            raise id_comes_twice(
                f"{rows.where(index)}: {id_column}",
                name,
                rows.where(seen[name]),
            )
        seen[name] = index


def id_comes_twice(where: str, name: str, first: str) -> DataError:
    """What is raised of an id that comes again.

    Args:
        where: str. File, row and column.
        name: str. The id.
        first: str. Where it came first.
    """
    return DataError(
        f"{where} is {name!r} again, as in {first}; expected an id of its own"
    )
