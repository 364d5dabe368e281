"""Reads the splits of a task that tables of one's own describe."""

import pathlib

from bvkeras.data.examples import Examples
from bvkeras.data.tables.kinds import kind_of
from bvkeras.data.tables.table_rows import read_rows
from bvkeras.data.tables.table_splits import split_tables
from bvkeras.data.tables.tagged_splits import split_tagged
from bvkeras.data.tables.tagged_words import read_tagged_rows
from bvkeras.data.token_examples import TokenExamples
from bvkeras.errors import ArgumentError
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec


def read_table_split(
    spec: TaskSpec, split: str, data_dir: pathlib.Path | None
) -> Examples | TokenExamples:
    """Reads one split of a task of tables.

    The same rows every time: an id is the file's name and the row's number,
    or what the id column says. Rows that cannot be used are left out as when
    the table was described.

    Args:
        spec: `TaskSpec`. Of source `"table"`.
        split: str. `"train"` or `"validation"`.
        data_dir: path or None. A folder where files are looked for by name
            that are not where their paths say.

    Raises:
        ArgumentError: the task names no tables.
        DataError: a file is not there, or is not what the task says it is.
    """
    if spec.table is None:
        raise ArgumentError(
            f"task: {spec.name} is of source 'table' and has no table files"
        )
    if spec.kind is Kind.TOKENS:
        columns = (spec.text_columns[0], spec.label_columns[0])
        return split_tagged(
            spec.table,
            columns,
            read_tagged_rows(
                spec.table, spec.table.train, *columns, data_dir=data_dir
            ),
            spec.tag_scheme,
            spec.label_names,
            data_dir,
        ).examples(spec.name, split)
    train = read_rows(
        spec.table,
        spec.table.train,
        spec.text_columns,
        spec.label_columns,
        unlabelled=kind_of(spec.kind).keeps_unlabelled(spec.label_columns),
        data_dir=data_dir,
    )
    splits = split_tables(
        spec.table,
        spec.text_columns,
        spec.label_columns,
        train,
        spec.kind,
        spec.label_names,
        data_dir,
    )
    return splits.examples(spec.name, split)
