"""Texts on disk are those in memory, in every respect."""

import dataclasses

import numpy as np
import pytest

from bvkeras.data.sources import load_examples
from bvkeras.data.tables import reading
from bvkeras.data.tables.describe import describe_table
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import DataError
from bvkeras.tasks.table_files import TableFiles
from tests.data.tables.written import HARD_TEXTS, write_rows

_TOPICS = ("arts", "sport", "🙂")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Tables come in batches of 7 rows."""
    read = reading._read

    def in_sevens(files, columns, separator, encoding, batch_rows):
        return read(files, columns, separator, encoding, 7)

    monkeypatch.setattr(reading, "_read", in_sevens)


def _rows(count=40, **changed):
    rows = [
        {
            "name": f"ö{n}",
            "text": f"{HARD_TEXTS[n % len(HARD_TEXTS)]} {n}",
            "other": "seven " * (n % 9) + "7",
            "topic": _TOPICS[n % 3],
            "score": n / 8,
            "tags": "|".join(_TOPICS[: n % 3]),
        }
        for n in range(count)
    ]
    rows[5]["text"] = " "
    rows[20]["topic"] = ""
    for place, change in changed.items():
        rows[int(place[1:])] |= change
    return rows


def _table(tmp_path, label="topic", text="text", validation=None, **files):
    train = write_rows(tmp_path / "train.csv", _rows())
    if validation is not None:
        write_rows(tmp_path / "dev.csv", validation)
        files["validation"] = (str(tmp_path / "dev.csv"),)
    kind = "multilabel" if label == "tags" else None
    return describe_table(
        TableFiles((str(train),), **files), text, label, kind=kind
    ).spec


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"text": ("text", "other")},
        {"label": "score", "id_column": "name"},
        {"label": "tags"},
        # One row in twenty-five has a label that training never saw.
        {"validation": _rows(25, _9={"topic": "new"})},
    ],
    ids=["classes", "pairs", "scores", "labels", "validation"],
)
def test_examples_are_those_of_memory(tmp_path, tiny_bert, split, options):
    spec = _table(tmp_path, **options)
    kept = load_examples(spec, split)
    streamed = load_examples(spec, split, stream=True)
    for each in (lambda x: x, lambda x: x.limit(3), lambda x: x.take([2, 0])):
        ours, expected = each(streamed), each(kept)
        assert len(ours) == len(expected)
        assert list(ours.ids) == list(expected.ids)
        assert list(ours.texts_a) == list(expected.texts_a)
        np.testing.assert_array_equal(ours.labels, expected.labels)
        assert ours.digest == expected.digest
    assert streamed.texts_of([kept.ids[1]]) == kept.texts_of([kept.ids[1]])
    tokenizer = load_backbone(tiny_bert).tokenizer
    ours, expected = (
        x.tokenized(tokenizer, 12, True) for x in (streamed, kept)
    )
    np.testing.assert_array_equal(ours.lengths, expected.lengths)
    rows = [2, 0, 1]
    for name, values in expected.batch(rows).items():
        np.testing.assert_array_equal(ours.batch(rows)[name], values)
    for name, values in dataclasses.asdict(expected.part(1, 3)).items():
        assert str(dataclasses.asdict(ours.part(1, 3))[name]) == str(values)


@pytest.mark.parametrize(
    ("options", "rows", "split"),
    [
        ({"id_column": "name"}, _rows(_30={"name": "ö3"}), "train"),
        ({"id_column": "name"}, _rows(_30={"name": "\t"}), "train"),
        ({}, _rows(_30={"topic": "new"}), "train"),
        ({"label": "score"}, _rows(_30={"score": "x"}), "train"),
        ({}, [r | {"topic": ""} for r in _rows()], "train"),
        ({"validation": _rows()}, [], "validation"),
    ],
    ids=["twice", "no_id", "class", "score", "no_row", "unseen"],
)
def test_wrong_rows_are_told_as_in_memory(tmp_path, options, rows, split):
    spec = _table(tmp_path, **options)
    if rows:
        write_rows(tmp_path / "train.csv", rows)
    else:
        new = [r | {"topic": f"new {n % 2}"} for n, r in enumerate(_rows())]
        write_rows(tmp_path / "dev.csv", new)
    with pytest.raises(DataError) as expected:
        load_examples(spec, split)
    with pytest.raises(DataError) as error:
        load_examples(spec, split, stream=True)
    assert str(error.value) == str(expected.value)
