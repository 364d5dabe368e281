"""Reads GLUE from `tensorflow_datasets`."""

import pathlib
from typing import Any

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.errors import DataError
from bvkeras.tasks.spec import TaskSpec

# Feature names, where they are not the official files' column names.
_TEXT_FEATURES = {
    "mnli": ("premise", "hypothesis"),
    "mrpc": ("sentence1", "sentence2"),
}


def find_prepared(
    spec: TaskSpec, data_dir: pathlib.Path
) -> pathlib.Path | None:
    """Finds a prepared GLUE data set below a `tensorflow_datasets` folder.

    Args:
        spec: `TaskSpec`. A GLUE task.
        data_dir: path. The folder, as `tensorflow_datasets` takes it.

    Returns:
        The folder of the last version by name, or None if there is none.
    """
    infos = data_dir.glob(f"glue/{spec.name}/*/dataset_info.json")
    return max((info.parent for info in infos), default=None)


def read_prepared(spec: TaskSpec, split: str, folder: pathlib.Path) -> Examples:
    """Reads one split of a prepared data set. Nothing is downloaded.

    Args:
        spec: `TaskSpec`. A GLUE task.
        split: str. One of `spec.splits`.
        folder: path. The folder with `dataset_info.json`.

    Raises:
        DataError: the data set cannot be read or is another task's.
    """
    return _read(spec, split, prepared_builder(folder))


def read_default(spec: TaskSpec, split: str, download: bool) -> Examples:
    """Reads one split from `tensorflow_datasets`' own data folder.

    Args:
        spec: `TaskSpec`. A GLUE task.
        split: str. One of `spec.splits`.
        download: bool. Whether to download and prepare the data set where
            it is not there yet.

    Raises:
        DataError: it is not there and `download` is False, or the download
            fails, or the data set cannot be read.
    """
    builder = downloaded_builder(f"glue/{spec.name}", download)
    return _read(spec, split, builder)


def prepared_builder(folder: pathlib.Path) -> Any:
    """The builder of a prepared data set.

    Args:
        folder: path. The folder with `dataset_info.json`.

    Raises:
        DataError: it cannot be read.
    """
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:
        raise _unreadable(folder, error) from error


def downloaded_builder(name: str, download: bool) -> Any:
    """The builder of a data set in `tensorflow_datasets`' own data folder.

    Args:
        name: str. Such as `"glue/rte"`.
        download: bool. Whether to download and prepare it where it is not
            there yet.

    Raises:
        DataError: it is not there and `download` is False, or the download
            fails.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name)
    if not download and not builder.is_prepared():
        raise DataError(
            f"{name}: not prepared in {builder.data_dir}, expected it there "
            "when nothing may be downloaded"
        )
    try:
        builder.download_and_prepare()
    # Network, disk, checksum: whatever stops a download is one line here.
    except Exception as error:
        raise DataError(
            f"{name}: cannot be downloaded ({_first_line(error)}); give a "
            "data directory with the official files instead"
        ) from error
    return builder


def read_rows(
    builder: Any, split: str, expected: set[str], together: bool = False
) -> Any:
    """All examples of a split of a prepared data set.

    Args:
        builder: what `prepared_builder` or `downloaded_builder` gives.
        split: str.
        expected: set of str. The features the data set shall have.
        together: bool. Whether to give one dict of arrays, padded where
            examples differ in length. Defaults to `False`: a list of dicts.

    Raises:
        DataError: it has others, no such split, or cannot be read.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    if set(features) != expected:
        raise DataError(
            f"{builder.data_dir}: has the features "
            f"{', '.join(sorted(features))}; expected "
            f"{', '.join(sorted(expected))}"
        )
    if split not in builder.info.splits:
        raise DataError(
            f"{builder.data_dir}: has the splits "
            f"{', '.join(builder.info.splits)}; expected {split}"
        )
    try:
        if together:
            return tfds.as_numpy(builder.as_dataset(split, batch_size=-1))
        return list(tfds.as_numpy(builder.as_dataset(split)))
    except Exception as error:
        raise _unreadable(builder.data_dir, error) from error


def _read(spec, split, builder):
    text_features = _TEXT_FEATURES.get(spec.name, spec.text_columns)
    columns = read_rows(
        builder, split, {*text_features, "label", "idx"}, together=True
    )
    label_names = getattr(builder.info.features["label"], "names", None)
    if label_names != (spec.label_names and list(spec.label_names)):
        raise DataError(
            f"{builder.data_dir}: has the labels {label_names}, expected "
            f"{spec.label_names}"
        )
    # Preparing shuffles; `idx` is the example's place in its official file.
    order = np.argsort(columns["idx"], kind="stable")
    texts = [
        tuple(columns[name][i].decode("utf-8") for i in order)
        for name in text_features
    ]
    return Examples(
        task=spec.name,
        split=split,
        ids=tuple(str(columns["idx"][i]) for i in order),
        texts_a=texts[0],
        texts_b=texts[1] if len(texts) > 1 else None,
        labels=columns["label"][order],
    )


def _unreadable(folder, error):
    return DataError(
        f"{folder}: cannot be read ({_first_line(error)}), expected a data "
        "set prepared by tensorflow_datasets"
    )


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
