"""Labels of every form, and what is wrong with them, in one line."""

import numpy as np
import pytest

from bvkeras.data.tables.class_labels import class_indices, learn_classes
from bvkeras.data.tables.kinds import kind_of
from bvkeras.data.tables.label_kind import infer_kind
from bvkeras.data.tables.label_lists import row_label_lists
from bvkeras.data.tables.score_labels import row_scores, score_range
from bvkeras.data.tables.table_rows import read_rows
from bvkeras.data.tables.tagged_words import TaggedWords, read_tagged_rows
from bvkeras.errors import DataError
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.table_files import TableFiles
from tests.data.tables.written import write_rows, write_text


def rows_of(tmp_path, labels, unlabelled=False, ending="jsonl"):
    if not isinstance(labels[0], dict):
        labels = [{"y": label} for label in labels]
    path = write_rows(
        tmp_path / f"a.{ending}",
        [{"text": f"t{n}"} | label for n, label in enumerate(labels)],
    )
    files = TableFiles((str(path),))
    return read_rows(
        files, files.train, ("text",), tuple(labels[0]), unlabelled=unlabelled
    )


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["b", "a"], "classification"),
        (["1", "two"], "classification"),
        ([0, 1, 1], "classification"),
        (["0", "1.0"], "classification"),
        ([True, False], "classification"),
        (list(range(21)), "regression"),
        (["0.5", "1"], "regression"),
        ([0.5, 1.0], "regression"),
        ([["a"], []], "multilabel"),
        (['["a"]', "[]"], "multilabel"),
        ([("0", "1")], "multilabel"),
    ],
)
def test_kind_is_inferred(cells, kind):
    assert infer_kind(cells).kind == kind


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b ", "a", "b"], ("a", "b")),
        (["b  b", "a", "b\nb"], ("a", "b b")),
        (["10", "9", "10"], ("9", "10")),
        ([2.0, 10.0, 2.0], ("2", "10")),
        ([True, False, True], ("False", "True")),
        (["🙂", "שלום", "🙂"], ("שלום", "🙂")),
    ],
)
def test_class_names_are_learned_sorted(tmp_path, ending, labels, names):
    rows = rows_of(tmp_path, labels, ending=ending)
    assert learn_classes(rows, "y") == names
    indices = class_indices(rows, "y", names)
    assert indices.dtype == np.int64
    assert indices[0] == indices[2] != indices[1]


@pytest.mark.parametrize("missing", [None, "", "  ", "nan", float("nan")])
def test_rows_without_a_label_are_dropped(tmp_path, missing):
    rows = rows_of(tmp_path, ["a", missing, "b", "a"])
    assert rows.labels == ["a", "b", "a"]
    assert rows.dropped["rows without a label"] == [(0, 2)]
    assert rows.num_read == 4


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2.5, 1], "row 2: y is 2.5, expected a class"),
        (["a", "a", "a"], "row 1: y is 'a' in every row"),
        (["a", "b", "c"], "row 1: y is 'a', and different in each of 3"),
        (["a", ["b"], "a"], "row 2: y is a list, expected one name"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, labels, message):
    rows = rows_of(tmp_path, labels)
    with pytest.raises(DataError, match=message):
        learn_classes(rows, "y")


def test_rows_without_any_label(tmp_path):
    with pytest.raises(
        DataError, match="row 1: is one of 2 rows without a label in 'y', and"
    ):
        rows_of(tmp_path, [None, ""])


def test_unseen_labels_are_dropped_or_refused(tmp_path):
    rows = rows_of(tmp_path, ["a", "b"] * 10 + ["c"])
    without = kind_of(Kind.CLASSES).without_unseen
    kept = without(rows, ("y",), ("a", "b"))
    assert len(kept) == 20
    assert kept.num_read == 21
    rows = rows_of(tmp_path, ["a", "B", "b"])
    message = "row 2: y is 'B', which no training row has, as in 1 of 3 rows"
    with pytest.raises(DataError, match=message):
        without(rows, ("y",), ("a", "b"))
    with pytest.raises(DataError, match="row 2: y is 'B', expected one of 'a'"):
        class_indices(rows, "y", ("a", "b"))


def test_scores(tmp_path):
    rows = rows_of(tmp_path, ["1.5", 2, " 3e-1 "])
    scores = row_scores(rows, "y")
    np.testing.assert_array_equal(scores, np.float32([1.5, 2, 0.3]))
    assert score_range(rows, "y", scores) == (np.float32(0.3), 2.0)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("good", "row 2: y is 'good', expected a number; words are classes"),
        ("1,5", "row 2: y is '1,5', expected a number with a decimal point"),
        ("inf", "row 2: y is 'inf', expected a number that is finite"),
        ("1e39", "row 2: y is '1e39', expected a number"),
        (True, "row 2: y is True, expected a number"),
    ],
)
def test_labels_that_are_no_scores(tmp_path, label, message):
    with pytest.raises(DataError, match=message):
        row_scores(rows_of(tmp_path, [1.5, label]), "y")


def test_scores_that_are_all_the_same(tmp_path):
    rows = rows_of(tmp_path, [3, 3.0])
    with pytest.raises(DataError, match="row 1: y is 3 in every row"):
        score_range(rows, "y", row_scores(rows, "y"))


@pytest.mark.parametrize(
    ("ending", "cells"),
    [
        ("jsonl", [["b", "a"], [], ["c", "b", "c"]]),
        ("csv", ['["b", "a"]', "[]", '["c", "b"]']),
        ("csv", ["b|a", "", "b | c"]),
    ],
)
def test_lists_of_labels(tmp_path, ending, cells):
    rows = rows_of(tmp_path, cells, unlabelled=True, ending=ending)
    lists = row_label_lists(rows, ["y"])
    assert lists.names == ("a", "b", "c")
    assert lists.labels == (("a", "b"), (), ("b", "c"))


def test_columns_of_labels(tmp_path):
    cells = [{"x": "1", "y": 0}, {"x": 0.0, "y": False}]
    lists = row_label_lists(rows_of(tmp_path, cells), ["x", "y"])
    assert lists.names == ("x", "y")
    assert lists.labels == (("x",), ())


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["a", "[a"], "row 2: y is '\\[a', expected a JSON list"),
        (["a", "a||b"], "row 2: y is 'a||b', expected no empty label"),
        (["", ""], "row 1: y is empty in every row"),
        ([{"x": "0", "y": "1"}, {"x": "0", "y": "2"}],
         "row 2: y is '2', expected 0 or 1"),
    ],
)  # fmt: skip
def test_labels_that_are_no_lists(tmp_path, cells, message):
    rows = rows_of(tmp_path, cells, unlabelled=True)
    columns = list(cells[0]) if isinstance(cells[0], dict) else ["y"]
    with pytest.raises(DataError, match=message):
        row_label_lists(rows, columns)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.conll", "EU B-ORG\nrejects O\n"),
        ("a.jsonl", '{"words": ["EU", "rejects"], "tags": ["B-ORG", "O"]}\n'),
        ("a.csv", "words,tags\nEU rejects,B-ORG O\n"),
    ],
)
def test_tagged_words(tmp_path, name, text):
    files = TableFiles((str(write_text(tmp_path / name, text)),))
    read = read_tagged_rows(files, files.train)
    assert read.labels == [TaggedWords(("EU", "rejects"), ("B-ORG", "O"))]
    assert read.texts == (["EU rejects"],)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.conll", "EU B-ORG\nrejects\n", "row 2: has one column, expected"),
        ("a.csv", "words,tags\na b,O\n", "row 2: has 2 words and 1 tags"),
        ("a.csv", "words,tags\n,\n", "row 2: words is '', expected a list"),
        ("a.jsonl", '{"words": [""], "tags": ["O"]}', "row 1: words holds ''"),
    ],
)
def test_words_that_have_no_tags(tmp_path, name, text, message):
    files = TableFiles((str(write_text(tmp_path / name, text)),))
    with pytest.raises(DataError, match=message):
        read_tagged_rows(files, files.train)
