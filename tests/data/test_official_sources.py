"""The official GLUE files: what they hold, and what is wrong with them."""

import logging
import os
import re
import shutil

import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.data.sources import load_examples
from bvkeras.data.tables.describe import describe_table
from bvkeras.errors import ArgumentError, DataError

from .glue_fixtures import (
    NUM_DEV,
    NUM_TRAIN,
    write_glue,
    write_paraphrase_corpus,
    write_tsv,
)

FOLDERS = {
    "cola": "CoLA",
    "sst2": "SST-2",
    "mrpc": "MRPC",
    "stsb": "STS-B",
    "qqp": "QQP",
    "mnli": "MNLI",
    "qnli": "QNLI",
    "rte": "RTE",
    "wnli": "WNLI",
}


@pytest.fixture(scope="module")
def glue_dir(tmp_path_factory):
    return write_glue(tmp_path_factory.mktemp("official"))


@pytest.fixture
def task_dir(tmp_path, glue_dir):
    """Gives a copy of one task's folder, to be damaged."""

    def copy(name):
        folder = tmp_path / FOLDERS[name]
        shutil.copytree(glue_dir / FOLDERS[name], folder)
        return folder

    return copy


@pytest.mark.parametrize("name", FOLDERS)
def test_every_split_of_every_task_loads(name, glue_dir):
    spec = tasks.get(name)
    for split in spec.splits:
        examples = load_examples(spec, split, glue_dir)
        assert examples.task == name
        assert examples.split == split
        assert len(examples) == (NUM_TRAIN if split == "train" else NUM_DEV)
        assert examples.ids == tuple(map(str, range(len(examples))))
        assert (examples.texts_b is not None) == (len(spec.text_columns) == 2)
        if spec.is_regression:
            assert examples.labels.dtype == np.float32
            assert 0 <= examples.labels.min() < examples.labels.max() <= 5
        else:
            assert examples.labels.dtype == np.int64
            counts = np.bincount(examples.labels, minlength=spec.num_labels)
            assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("name", "position", "text_a", "text_b", "label"),
    [
        ("cola", 1, 'Łukasz painted the violin 5" tall 1 times.', None, 1),
        (
            "sst2",
            2,
            "a terrible film about a garden in the harbour 🎈 , part 2 ",
            None,
            0,
        ),
        (
            "mrpc",
            5,
            "José sold the red lamp in Oslo on day 5\u2028again.",
            "José never had one.",
            0,
        ),
        (
            "stsb",
            3,
            "Tomás sells the old map in 東京, 3 naïve.",
            "Tomás sells the And then, 東京.",
            3.6,
        ),
        (
            "qqp",
            1,
            'How can Łukasz get a violin 5" tall before day 1?',
            "How does Łukasz buy a violin?",
            1,
        ),
        (
            "mnli",
            2,
            "Amélie sold the garden in the harbour on day 2 🎈.",
            "Amélie kept the garden.",
            2,
        ),
        ("qnli", 1, 'Who sold it? 5" tall', "Łukasz never had one.", 1),
        (
            "rte",
            0,
            "Zoë sold the boat in Oslo on day 0.",
            "Zoë sold the boat.",
            0,
        ),
        (
            "wnli",
            0,
            "Zoë sold the boat in Oslo on day 0.",
            "Zoë sold the boat.",
            1,
        ),
    ],
)
def test_texts_and_labels_are_those_of_the_file(
    name, position, text_a, text_b, label, glue_dir
):
    examples = load_examples(name, "train", glue_dir)
    assert examples.texts_a[position] == text_a
    if text_b is None:
        assert examples.texts_b is None
    else:
        assert examples.texts_b[position] == text_b
    assert examples.labels[position] == pytest.approx(label)


def test_mnli_has_two_different_dev_sets(glue_dir):
    matched = load_examples("mnli", "validation_matched", glue_dir)
    mismatched = load_examples("mnli", "validation_mismatched", glue_dir)
    assert not set(matched.texts_a) & set(mismatched.texts_a)
    with pytest.raises(ArgumentError, match="'validation', expected one of"):
        load_examples("mnli", "validation", glue_dir)


def test_directory_may_be_above_the_tasks_or_the_task(tmp_path, glue_dir):
    (tmp_path / "glue").symlink_to(glue_dir, target_is_directory=True)
    expected = load_examples("rte", "train", glue_dir).digest
    assert load_examples("rte", "train", tmp_path).digest == expected
    own = str(glue_dir / "RTE")
    assert load_examples("rte", "train", own).digest == expected


@pytest.mark.parametrize("name", ["cola", "rte"])
def test_line_ends_and_byte_order_mark_do_not_count(name, task_dir):
    folder = task_dir(name)
    expected = load_examples(name, "train", folder).digest
    path = folder / "train.tsv"
    content = path.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + content)
    assert load_examples(name, "train", folder).digest == expected


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\n\n"])
def test_one_blank_line_at_the_end_is_no_row(ending, task_dir):
    path = task_dir("sst2") / "train.tsv"
    whole = path.read_bytes()
    expected = load_examples("sst2", "train", path.parent)
    path.write_bytes(whole.removesuffix(b"\n") + b"\n" + ending)
    if ending == b"\n\n":
        with pytest.raises(DataError, match="1 tab-separated columns"):
            load_examples("sst2", "train", path.parent)
    else:
        found = load_examples("sst2", "train", path.parent)
        assert found.digest == expected.digest


def test_columns_are_found_by_name(task_dir):
    folder = task_dir("rte")
    expected = load_examples("rte", "train", folder).digest
    path = folder / "train.tsv"
    rows = path.read_bytes().decode().removesuffix("\n").split("\n")
    turned = ("\t".join(row.split("\t")[::-1]) for row in rows)
    path.write_text("\n".join(turned), encoding="utf-8")
    assert load_examples("rte", "train", folder).digest == expected


def test_paraphrase_corpus_is_split_by_dev_ids(tmp_path):
    folder = write_paraphrase_corpus(tmp_path / "MRPC")
    train = load_examples("mrpc", "train", tmp_path)
    validation = load_examples("mrpc", "validation", tmp_path)
    assert len(train) == NUM_TRAIN
    assert validation.ids == tuple(map(str, range(3, 30, 3)))
    assert not set(train.ids) & set(validation.ids)
    assert validation.texts_a[1].startswith("Søren sold the boat")
    np.testing.assert_array_equal(validation.labels[:2], [0, 1])

    (folder / "dev_ids.tsv").write_text("1\t2\n")
    with pytest.raises(DataError, match=r"no example .* validation split"):
        load_examples("mrpc", "validation", tmp_path)


def test_paraphrase_corpus_alone_is_validated_on_its_test_file(tmp_path):
    folder = write_paraphrase_corpus(tmp_path / "MRPC")
    (folder / "dev_ids.tsv").unlink()
    assert len(load_examples("mrpc", "train", tmp_path)) == NUM_TRAIN + NUM_DEV
    validation = load_examples("mrpc", "validation", tmp_path)
    assert len(validation) == NUM_DEV
    assert "on day 33" in validation.texts_a[0]


def test_both_mrpc_layouts_are_never_mixed(task_dir):
    folder = write_paraphrase_corpus(task_dir("mrpc"))
    assert len(load_examples("mrpc", "train", folder)) == NUM_TRAIN
    (folder / "dev.tsv").unlink()
    with pytest.raises(DataError, match=r"dev\.tsv: cannot be read"):
        load_examples("mrpc", "validation", folder)


def replace_fields(path, row, changes):
    """Sets fields, by column number, of one row, counted from 1."""
    rows = path.read_bytes().decode().split("\n")
    fields = rows[row - 1].split("\t")
    for column, value in changes.items():
        fields[column] = value
    rows[row - 1] = "\t".join(field for field in fields if field is not None)
    path.write_bytes("\n".join(rows).encode())


@pytest.mark.parametrize(
    ("name", "row", "changes", "message"),
    [
        ("cola", 1, {1: "2"}, "row 1: label is '2', expected one of 0, 1"),
        ("cola", 4, {3: " "}, "row 4: sentence is empty, expected text"),
        ("cola", 4, {2: None}, "row 4: 3 tab-separated columns, expected 4"),
        ("sst2", 3, {1: ""}, "row 3: label is '', expected one of 0, 1"),
        ("sst2", 1, {1: "score"}, "row 1: no column 'label' among"),
        ("mrpc", 9, {0: "yes"}, "row 9: Quality is 'yes', expected one of"),
        ("mrpc", 1, {4: "string"}, "row 1: no column '#2 String' among"),
        ("stsb", 2, {9: "5.1"}, "row 2: score is '5.1', expected a number"),
        ("stsb", 2, {9: "-1"}, "row 2: score is '-1', expected a number"),
        ("stsb", 2, {9: "nan"}, "row 2: score is 'nan', expected a number"),
        ("stsb", 2, {9: "high"}, "row 2: score is 'high', expected a number"),
        ("qqp", 25, {5: None}, "row 25: lacks a column or its label, as do 1"),
        ("qqp", 7, {4: "a\tb"}, "row 7: 7 tab-separated columns, expected 6"),
        ("qqp", 7, {5: "2"}, "row 7: is_duplicate is '2', expected one of"),
        ("mnli", 5, {11: None}, "row 5: 11 tab-separated columns, expected 12"),
        ("mnli", 5, {11: "-"}, "row 5: gold_label is '-', expected one of"),
        ("qnli", 5, {1: ""}, "row 5: question is empty, expected text"),
        ("rte", 6, {3: "1"}, "row 6: label is '1', expected one of entailment"),
        ("rte", 6, {2: ""}, "row 6: sentence2 is empty, expected text"),
        ("rte", 6, {3: ""}, "row 6: label is '', expected one of entailment"),
        ("rte", 6, {3: "not_entailment\n"}, "row 7: 1 tab-separated columns"),
        ("wnli", 3, {3: "entailment"}, "row 3: label is 'entailment', expect"),
    ],
)
def test_a_damaged_row_is_named(name, row, changes, message, task_dir):
    folder = task_dir(name)
    path = folder / "train.tsv"
    replace_fields(path, row, changes)
    with pytest.raises(DataError) as caught:
        load_examples(name, "train", folder)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.fixture
def broken_qqp_dir(task_dir):
    """QQP, 500 train rows: row 0 cut into three lines, 497 cut into two."""
    path = task_dir("qqp") / "train.tsv"
    header, *rows = path.read_bytes().splitlines(keepends=True)
    rows = (rows * 21)[:497]
    rows[0] = b'9\t0\t1\t"How\r\n\nlong\n"\tHow far?\t0\n'
    rows[7] = b"9\t0\t1\tHow long?\t\t1\n"
    rows[8] = b"9\t0\t1\t \tHow long?\t0\n"
    rows[-1] = b"9\t0\t1\tHow long?\tHow\nfar?\t0\n"
    path.write_bytes(header + b"".join(rows))
    return path.parent


def test_qqp_leaves_out_its_broken_rows_and_counts_them(broken_qqp_dir, caplog):
    examples = load_examples("qqp", "train", broken_qqp_dir)
    assert examples.ids == tuple(map(str, range(3, 498)))
    assert examples.labels[:2].tolist() == [1, 0]
    assert caplog.record_tuples == [
        (
            "bvkeras",
            logging.WARNING,
            f"{broken_qqp_dir / 'train.tsv'}: left out 5 of 500 rows, which "
            "lack a column or their label (first: row 2)",
        )
    ]


def test_qqp_leaves_out_a_row_with_an_empty_label(broken_qqp_dir, caplog):
    load_examples("qqp", "validation", broken_qqp_dir)
    assert not caplog.records
    path = broken_qqp_dir / "train.tsv"
    path.write_bytes(path.read_bytes().replace(b"How\nfar?\t0", b"How far?\t"))
    examples = load_examples("qqp", "train", broken_qqp_dir)
    assert examples.ids == tuple(map(str, range(3, 498)))
    assert "left out 4 of 499 rows" in caplog.text


def test_qqp_keeps_an_empty_question(broken_qqp_dir):
    examples = load_examples("qqp", "train", broken_qqp_dir)
    position = examples.ids.index("9")
    assert examples.texts_a[position : position + 2] == ("How long?", " ")
    assert examples.texts_b[position : position + 2] == ("", "How long?")


def test_broken_qqp_is_what_tensorflow_datasets_makes_of_it(
    broken_qqp_dir, tmp_path
):
    import tensorflow_datasets as tfds

    builder = tfds.builder("glue/qqp", data_dir=tmp_path)
    theirs = [
        (str(idx), row["question1"], row["question2"], row["label"])
        for idx, row in builder._generate_examples(
            broken_qqp_dir / "train.tsv", "train"
        )
    ]
    ours = load_examples("qqp", "train", broken_qqp_dir)
    columns = (ours.ids, ours.texts_a, ours.texts_b, ours.labels.tolist())
    assert list(zip(*columns, strict=True)) == theirs


def test_a_short_qqp_row_is_left_out_even_with_its_label(broken_qqp_dir):
    path = broken_qqp_dir / "train.tsv"
    turned = ("is_duplicate", "id", "qid1", "qid2", "question1", "question2")
    rows = [["1", "9", "0", "1", "Why?", "Why not?"]] * 100
    write_tsv(path, [turned, rows[0][:5], *rows[1:]])
    examples = load_examples("qqp", "train", broken_qqp_dir)
    assert examples.ids == tuple(map(str, range(1, 100)))


def test_too_many_broken_rows_in_qqp_are_refused(broken_qqp_dir, caplog):
    path = broken_qqp_dir / "train.tsv"
    path.write_bytes(path.read_bytes() + b"far?\t0\n")
    with pytest.raises(DataError) as caught:
        load_examples("qqp", "train", broken_qqp_dir)
    assert str(caught.value) == (
        f"{path}: row 2: lacks a column or its label, as do 6 of 501 rows; "
        "expected at most 1%, so this is not the official file"
    )
    assert not caplog.records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"9\t0\t1\tHow\n", "row 2: lacks a column or its label, as do 1 of"),
        (b"\n\r\n", "has a header and no examples"),
    ],
)
def test_qqp_needs_one_whole_row(content, message, broken_qqp_dir):
    path = broken_qqp_dir / "train.tsv"
    header = path.read_bytes().partition(b"\n")[0]
    path.write_bytes(header + b"\n" + content)
    with pytest.raises(DataError) as caught:
        load_examples("qqp", "train", broken_qqp_dir)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("name", FOLDERS)
def test_an_unusable_file_is_named(name, task_dir):
    folder = task_dir(name)
    path = folder / "train.tsv"
    content = path.read_bytes()

    def load_error():
        with pytest.raises(DataError) as caught:
            load_examples(name, "train", folder)
        return str(caught.value)

    lines = content.split(b"\n")
    lines[4] += b" caf\xe9"
    path.write_bytes(b"\n".join(lines))
    assert load_error().startswith(f"{path}: row 5: byte 0xe9 at position ")

    path.write_bytes(b"")
    assert load_error() == f"{path}: is empty, expected one example a row"

    if name != "cola":
        path.write_bytes(content.partition(b"\n")[0] + b"\n")
        assert load_error().startswith(f"{path}: has a header and no examples")

    path.unlink()
    assert load_error().startswith(f"{path}: cannot be read (No such file")


def test_a_directory_without_the_task_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as caught:
        load_examples("cola", "train", tmp_path)
    message = str(caught.value)
    assert re.search(r"train\.tsv, dev\.tsv in CoLA/, glue/CoLA/", message)
    assert "glue/cola/<version>/dataset_info.json" in message
    with pytest.raises(DataError, match="missing: is not a directory"):
        load_examples("cola", "train", tmp_path / "missing")


REAL_COUNTS = [
    ("cola", "train", [2528, 6023]),
    ("cola", "validation", [322, 721]),
    ("sst2", "train", [29780, 37569]),
    ("sst2", "validation", [428, 444]),
    ("rte", "train", [1249, 1241]),
    ("rte", "validation", [146, 131]),
    ("qnli", "validation", [2702, 2761]),
    ("mnli", "validation_matched", [3479, 3123, 3213]),
]
REAL_MEANS = [
    ("stsb", "train", 5749, 2.701),
    ("stsb", "validation", 1500, 2.364),
]


@pytest.fixture(scope="module")
def real_dir():
    directory = os.environ.get("BVKERAS_DATA_DIR")
    if directory is None:
        reason = "BVKERAS_DATA_DIR names no folder with the real GLUE files"
        if "data" in os.environ.get("BVKERAS_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    return directory


@pytest.mark.parametrize(("name", "split", "counts"), REAL_COUNTS)
def test_real_class_counts(name, split, counts, real_dir):
    examples = load_examples(name, split, real_dir)
    assert np.bincount(examples.labels).tolist() == counts


@pytest.mark.parametrize(("name", "split", "count", "mean"), REAL_MEANS)
def test_real_scores(name, split, count, mean, real_dir):
    examples = load_examples(name, split, real_dir)
    assert len(examples) == count
    assert examples.labels.mean() == pytest.approx(mean, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "folder"), [("rte", "RTE"), ("stsb", "STS-B")]
)
def test_real_files_as_tables_of_ones_own(name, folder, real_dir):
    """Quotes in STS-B are text: nothing in its files is quoted."""
    spec = tasks.get(name)
    place = os.path.join(real_dir, "glue", folder)
    files = tasks.TableFiles(f"{place}/train.tsv", f"{place}/dev.tsv")
    table = describe_table(
        files, spec.text_columns, spec.label_column, name="own"
    )
    assert table.spec.is_regression == spec.is_regression
    for split, examples in table.examples.items():
        official = load_examples(name, split, real_dir)
        assert examples.texts_a == official.texts_a
        assert examples.texts_b == official.texts_b
        np.testing.assert_array_equal(examples.labels, official.labels)
