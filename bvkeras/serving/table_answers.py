"""Answers to the texts of a table, in bounded memory."""

import itertools
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from bvkeras import fileio
from bvkeras.data.tables.reading import open_batches
from bvkeras.data.tables.table_batch import TableBatch
from bvkeras.data.tables.table_paths import find_files
from bvkeras.data.tables.tagged_words import split_words
from bvkeras.errors import ArgumentError, DataError
from bvkeras.progress import progress_bar
from bvkeras.serving.answers_writer import AnswersWriter, check_output
from bvkeras.serving.kinds import kind_of
from bvkeras.serving.tagged_answers import entity_lists, word_tags
from bvkeras.serving.text_model import TextModel
from bvkeras.tasks.kind import Kind


def answer_table(
    model: TextModel,
    inputs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    id_column: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> int:
    """Answers each row of some tables, and writes the answers as a table.

    A few thousand rows are in memory at a time. The rows stay in their order.
    A row has `row`, its number in its file (or `id_column`), the columns to
    keep, and the answer: of classes `label`, `score` and `probability_…` for
    each; of several labels a text `labels` (`|` between) and `probability_…`
    for each; of regression `score`; of spans `answer`, `start`, `end`
    (characters of the context) and `no_answer_probability`; of tags
    `entities`, a list (in `.csv` and `.tsv` as JSON) of objects with `type`,
    `start`, `end` (characters of the text), `text` and `score`, and where the
    rows are words, a list each, also `tags`, one a word. Places are then
    those in the words with a blank between.

    Args:
        model: TextModel.
        inputs: sequence of str or path. As
            `bvkeras.data.tables.reading.open_batches`.
        output: str or path. `.csv`, `.tsv` or `.jsonl`. Appears whole or not
            at all.
        columns: sequence of str, or None. Columns with the model's texts.
            Defaults to those it was trained on.
        keep: sequence of str. Columns of the input to repeat. Defaults to
            none.
        id_column: str, or None. Stands in the place of the row's number.
        separator: str, or None. As `open_batches`.
        encoding: str, or None. As `open_batches`.

    Returns:
        int. Number of rows.

    Raises:
        ArgumentError: the output's name says no format, the output is an
            input, or the model takes another number of texts.
        DataError: a table cannot be read, or a text is none; file and row are
            named.
    """
    output = pathlib.Path(output)
    check_output(output)
    files = find_files(inputs)
    if not files:
        raise ArgumentError("inputs: expected at least one file, got none")
    for path in files:
        if output.exists() and path.samefile(output):
            raise ArgumentError(
                f"output: {output} is an input, expected another file"
            )
    columns = tuple(columns or model.text_columns)
    if len(columns) != len(model.input_names):
        raise ArgumentError(
            f"columns: {model.name} takes {' and '.join(model.input_names)}, "
            f"got {', '.join(columns)}"
        )
    wanted = [*columns, *keep, *([id_column] if id_column else [])]
    batches = open_batches(
        files, wanted, separator=separator, encoding=encoding
    )
    # What is wrong with the first rows is said before there is an output.
    first = next(batches)
    made: _Answers | _Entities = _Answers(model, columns)
    if model.kind == Kind.TOKENS.value:
        made = _Entities(model, columns, first)
    header = [id_column or "row", *keep, *made.header]
    count = 0
    with (
        fileio.atomic_path(output) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
        progress_bar("predict", None, "rows") as bar,
    ):
        writer = AnswersWriter(file, output.suffix, header)
        for batch in itertools.chain([first], batches):
            answers = made.cells(batch)
            names = batch.cells[id_column] if id_column else batch.rows
            kept = [batch.cells[name] for name in keep]
            writer.write(list(zip(names, *kept, *answers, strict=True)))
            count += len(batch)
            bar.advance(len(batch))
    return count


def _texts(batch: TableBatch, column: str) -> list[str]:
    for row, text in zip(batch.rows, batch.cells[column], strict=True):
        if not isinstance(text, str):
            raise DataError(
                f"{batch.path}: row {row}: {column} is {text!r:.40}, expected "
                "a text"
            )
    return batch.cells[column]


class _Answers:
    """What is written of answers that are one a text.

    Args:
        model: TextModel.
        columns: sequence of str. Those with its texts.
    """

    def __init__(self, model: TextModel, columns: Sequence[str]):
        self._model, self._columns = model, columns
        self._outputs = kind_of(Kind(model.kind)).columns
        self.header = list(self._outputs)
        if model.label_names is not None:
            self.header += [f"probability_{n}" for n in model.label_names]

    def cells(self, batch: TableBatch) -> list[list]:
        """Columns of cells, numbers with as many digits as they have."""
        answers = self._model.predict(
            *(_texts(batch, name) for name in self._columns)
        )
        columns = [answers[name] for name in self._outputs]
        if self._model.label_names is not None:
            columns += [*answers["probabilities"].T]
        return [_cells(column) for column in columns]


class _Entities:
    """What is written of entities, of texts or of words.

    Args:
        model: TextModel.
        columns: sequence of one str.
        first: TableBatch. Whose first row is a list, if rows are words.
    """

    def __init__(
        self, model: TextModel, columns: Sequence[str], first: TableBatch
    ):
        self._model, (self._column,) = model, columns
        cells = first.cells[self._column]
        self._are_words = isinstance(cells[0], list | tuple)
        self.header = ["entities", *(["tags"] if self._are_words else [])]

    def cells(self, batch: TableBatch) -> list[list]:
        """Columns of cells: lists."""
        if not self._are_words:
            texts = _texts(batch, self._column)
            return [entity_lists(self._model.predict(texts))]
        rows = [
            split_words(f"{batch.path}: row {row}: {self._column}", cell)
            for row, cell in zip(
                batch.rows, batch.cells[self._column], strict=True
            )
        ]
        entities = entity_lists(
            self._model.predict([" ".join(words) for words in rows])
        )
        names, scheme = self._model.label_names or (), self._model.tag_scheme
        assert scheme is not None
        tags = [
            list(scheme.from_learned(word_tags(words, found, names)))
            for words, found in zip(rows, entities, strict=True)
        ]
        return [entities, tags]


def _cells(column: np.ndarray) -> list:
    if column.dtype.kind != "f":
        return column.tolist()
    # As short as names the float32: not its digits as a float64.
    return [float(str(value)) for value in column]
