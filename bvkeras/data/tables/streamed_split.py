"""Reads a split of a task of tables without holding its texts in memory."""

import array
import dataclasses
import hashlib
import pathlib

import numpy as np

from bvkeras.data.spooled_texts import SpooledTexts, SpoolWriter
from bvkeras.data.streamed_examples import StreamedExamples
from bvkeras.data.tables.class_labels import check_unseen
from bvkeras.data.tables.held_out import choose_held_out, text_keys
from bvkeras.data.tables.kinds import kind_of
from bvkeras.data.tables.table_rows import (
    TableRows,
    id_comes_twice,
    require_good_ids,
    require_rows,
    row_batches,
)
from bvkeras.data.tables.table_splits import require_held_out
from bvkeras.tasks.spec import TaskSpec


def stream_table_split(
    spec: TaskSpec, split: str, data_dir: pathlib.Path | None = None
) -> StreamedExamples:
    """Reads one split of a task of tables of texts, in bounded memory.

    The examples are those of `read_table_split`, of equal digest. The tables
    are read once, and texts kept in a temporary file, as large as they are.
    In memory are labels and some 50 bytes a row; 150 more where rows for
    validation are held out, as equal texts go to one side.

    Args:
        spec: `TaskSpec`. Of source `"table"`, with classes, several labels or
            scores.
        split: str. `"train"` or `"validation"`.
        data_dir: path or None. As `read_table_split`.

    Raises:
        DataError: as `read_table_split`.
        OSError: there is no room for the texts.
    """
    assert spec.table is not None
    is_validation = split == "validation" and bool(spec.table.validation)
    patterns = spec.table.validation if is_validation else spec.table.train
    reading = _Reading(spec, is_validation)
    made = kind_of(spec.kind)
    for rows in row_batches(
        spec.table,
        patterns,
        spec.text_columns,
        spec.label_columns,
        unlabelled=made.keeps_unlabelled(spec.label_columns),
        data_dir=data_dir,
    ):
        reading.add(rows)
    examples = reading.finish(split)
    if spec.table.validation:
        return examples
    held_out = choose_held_out(
        reading.keys,
        made.held_out_classes(examples.labels),
        spec.table.held_out,
        spec.table.seed,
    )
    require_held_out(
        held_out, reading.where(0), len(held_out), spec.table.held_out
    )
    return examples.take(np.flatnonzero(held_out == (split == "validation")))


class _Reading:
    """One pass over a table: what is kept in memory, and what is not."""

    def __init__(self, spec: TaskSpec, is_validation: bool):
        assert spec.table is not None
        self._spec, self._files = spec, spec.table
        self._made = kind_of(spec.kind)
        self._is_validation = is_validation
        self._ids = SpoolWriter()
        self._texts = [SpoolWriter() for _ in spec.text_columns]
        self._labels: list[np.ndarray] = []
        self._places = array.array("q")
        self._id_digests = bytearray()
        self._unseen: list[int] = []
        self._first_unseen = ""
        self._parts: list[TableRows] = []
        self.keys: list[bytes] = []

    def add(self, rows: TableRows) -> None:
        """Takes what `row_batches` gave."""
        # Without texts, for messages: the first with rows, and those before.
        if not any(map(len, self._parts)):
            self._parts.append(dataclasses.replace(rows, texts=()))
        columns, names = self._spec.label_columns, self._spec.label_names
        self._take_ids(rows)
        before = len(self._places) // 2
        for place in rows.places:
            self._places.extend(place)
        for writer, texts in zip(self._texts, rows.texts, strict=True):
            for text in texts:
                writer.add(text)
        if not self._files.validation:
            self.keys += text_keys(rows.texts)
        if self._is_validation:
            unseen = self._made.unseen(rows, columns, names)
            if unseen and not self._unseen:
                first = min(unseen)
                self._first_unseen = (
                    f"{rows.where(first)}: {columns[0]} is {unseen[first]!r}"
                )
            self._unseen += (before + row for row in unseen)
            rows = rows.take(i for i in range(len(rows)) if i not in unseen)
        self._labels.append(self._made.labels(rows, columns, names))

    def finish(self, split: str) -> StreamedExamples:
        """All rows, once they have been added."""
        columns, names = self._spec.label_columns, self._spec.label_names
        whole = self._parts[0]
        for part in self._parts[1:]:
            whole.extended(part)
        require_rows(whole, columns)
        num_rows = len(self._places) // 2
        ids = self._ids.finish()
        self._require_no_id_twice(ids)
        kept = np.arange(num_rows)
        if self._unseen:
            check_unseen(
                self._first_unseen, len(self._unseen), num_rows, names or ()
            )
            kept = np.delete(kept, self._unseen)
        texts = [writer.finish().take(kept) for writer in self._texts]
        return StreamedExamples(
            self._spec.name,
            split,
            ids.take(kept),
            texts[0],
            texts[1] if len(texts) > 1 else None,
            np.concatenate(self._labels),
        )

    def where(self, row: int) -> str:
        """File and row of a row, to begin a message with."""
        file, number = self._places[2 * row : 2 * row + 2]
        return self._parts[0].named((file, number))

    def _take_ids(self, rows: TableRows) -> None:
        for name in rows.ids:
            self._ids.add(name)
        if self._files.id_column is not None:
            require_good_ids(rows, self._files.id_column)
            for name in rows.ids:
                self._id_digests += hashlib.blake2b(
                    name.encode("utf-8"), digest_size=16
                ).digest()

    def _require_no_id_twice(self, ids: SpooledTexts) -> None:
        """What `require_good_ids` does of one batch, for all."""
        digests = np.frombuffer(self._id_digests, np.uint64).reshape(-1, 2)
        order = np.lexsort(digests.T)
        ordered = digests[order]
        (twice,) = (ordered[1:] == ordered[:-1]).all(axis=1).nonzero()
        if len(twice):
            # The first row that repeats one.
            row, place = min((order[i + 1], i) for i in twice.tolist())
            raise id_comes_twice(
                f"{self.where(row)}: {self._files.id_column}",
                ids[int(row)],
                self.where(order[place]),
            )
