import dataclasses

import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.data.example_checks import check_examples
from bvkeras.data.examples import Examples
from bvkeras.errors import ArgumentError, DataError


def make_examples(n=20, texts_b=True):
    return Examples(
        task="rte",
        split="train",
        ids=tuple(map(str, range(n))),
        texts_a=tuple(f"first {i}" for i in range(n)),
        texts_b=tuple(f"second {i}" for i in range(n)) if texts_b else None,
        labels=np.arange(n) % 2,
    )


def test_take_keeps_the_fields_together():
    taken = make_examples().take([7, 2])
    assert len(taken) == 2
    assert taken.ids == ("7", "2")
    assert taken.texts_a == ("first 7", "first 2")
    assert taken.texts_b == ("second 7", "second 2")
    np.testing.assert_array_equal(taken.labels, [1, 0])
    assert make_examples(texts_b=False).take([3]).texts_b is None


def test_limit_is_a_seeded_subset_in_order():
    examples = make_examples()
    limited = examples.limit(8, seed=3)
    positions = [int(i) for i in limited.ids]
    assert len(positions) == 8
    assert positions == sorted(positions)
    assert examples.limit(8, seed=3).digest == limited.digest
    assert examples.limit(8, seed=4).ids != limited.ids
    assert set(examples.limit(5, seed=3).ids) < set(limited.ids)


def test_limit_above_the_length_keeps_all():
    examples = make_examples()
    assert examples.limit(99) is examples
    assert examples.limit(None) is examples
    with pytest.raises(ArgumentError, match="limit: got 0"):
        examples.limit(0)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "wnli"},
        {"split": "validation"},
        {"ids": ("9", "1")},
        {"texts_a": ("other", "first 1")},
        {"texts_b": None},
        {"labels": np.array([0, 0])},
        {"labels": np.array([0, 1], dtype=np.float32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_digest_sees_every_field(change):
    examples = make_examples(2)
    assert examples.digest == make_examples(2).digest
    assert dataclasses.replace(examples, **change).digest != examples.digest


def test_fields_must_fit():
    examples = make_examples(3)
    with pytest.raises(DataError, match=r"lengths \[3, 2, 3, 3\]"):
        dataclasses.replace(examples, texts_a=("a", "b"))
    with pytest.raises(DataError, match="3 examples have 2 different ids"):
        dataclasses.replace(examples, ids=("0", "1", "1"))


def test_lists_are_as_good_as_tuples():
    examples = make_examples(3)
    lists = Examples(
        "rte",
        "train",
        list(examples.ids),
        np.array(examples.texts_a),
        list(examples.texts_b),
        [0, 1, 0],
    )
    assert lists.digest == examples.digest
    assert lists.take([1]).ids == ("1",)
    scores = dataclasses.replace(examples, labels=[0.5, 1.0, 2.0])
    assert scores.labels.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": [7, 8, 9]}, "rte train: ids: row 0 is 7, a int; expected str"),
        ({"ids": "abc"}, "ids: expected a sequence of str, got str"),
        ({"texts_a": ("a", None, "c")}, "texts_a: row 1 is None, a NoneType"),
        ({"texts_b": 5}, "texts_b: expected a sequence of str, got int"),
        ({"labels": ["yes", "no", "no"]}, "labels: the first is .*'yes'"),
        ({"labels": [["a", "b"]] * 3}, r"labels: have shape \(3, 2\)"),
        ({"labels": [[0, 1], [1]]}, "labels: have shape"),
        ({"labels": [None, 1, 0]}, "labels: the first is None"),
    ],
)
def test_argument_that_is_no_such_sequence(change, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(make_examples(3), **change)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        (
            "rte",
            [0, 1, 2],
            "example '2': its label is 2 .*0 to 1 \\(entailment",
        ),
        ("rte", [0, -1, 0], "example '1': its label is -1"),
        ("rte", [0.0, 1.0, 0.0], "example '0': its label is 0.0 .*as int64"),
        ("stsb", [0.0, np.nan, 1.0], "example '1': its label is nan"),
        ("stsb", [0.0, 5.5, 1.0], "label is 5.5 .*a number from 0 to 5"),
        ("stsb", [0, 3, 1], "example '0': its label is 0 .*as float32"),
    ],
)
def test_labels_that_are_none_of_the_task(task, labels, message):
    examples = dataclasses.replace(
        make_examples(3), task=task, labels=np.array(labels)
    )
    with pytest.raises(DataError, match=message):
        check_examples(tasks.get(task), examples)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (make_examples(3), "examples: are of task rte, expected sst2"),
        (["a text"], "examples: expected Examples for sst2, got list"),
    ],
)
def test_examples_of_something_else(examples, message):
    with pytest.raises(ArgumentError, match=message):
        check_examples(tasks.get("sst2"), examples)


def test_texts_of_some_examples():
    examples = Examples(
        "rte",
        "train",
        ("x", "y", "z"),
        ("a", "b", "c"),
        ("d", "e", "f"),
        np.array([0, 1, 0]),
    )
    assert examples.texts_of(["z", "x"]) == [["c", "a"], ["f", "d"]]
    single = dataclasses.replace(examples, texts_b=None)
    assert single.texts_of([]) == [[]]
    assert single.texts_of(["y"]) == [["b"]]
    with pytest.raises(DataError, match="rte train: has no example 'w'"):
        examples.texts_of(["x", "w"])
