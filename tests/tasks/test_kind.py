import dataclasses

import pytest

from bvkeras import tasks
from bvkeras.errors import ArgumentError
from bvkeras.tasks.label_sets import join_labels, split_labels

LABELS = dataclasses.replace(
    tasks.get("sst2"),
    name="traits",
    label_names=("loud",),
    several_labels=True,
)


@pytest.mark.parametrize(
    ("task", "kind", "num_labels"),
    [
        ("mnli", tasks.Kind.CLASSES, 3),
        ("stsb", tasks.Kind.SCORE, 1),
        ("squad_v2", tasks.Kind.SPAN, 2),
        (LABELS, tasks.Kind.LABELS, 1),
    ],
)
def test_kind_comes_from_what_a_task_has(task, kind, num_labels):
    task = tasks.spec_of(task)
    assert (task.kind, task.num_labels) == (kind, num_labels)
    assert task.is_span == (kind is tasks.Kind.SPAN)
    assert task.is_regression == (kind is tasks.Kind.SCORE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_names": None}, "expected at least one label"),
        ({"label_names": ()}, "expected at least one label"),
        ({"label_names": ("a|b",)}, "received 'a|b', expected a name without"),
        ({"label_names": ("",)}, "received '', expected a name without"),
        ({"label_names": (" a",)}, "without blanks around it"),
        ({"label_names": ("a", "a")}, "'a' comes twice"),
        ({"windows": tasks.WindowPlan()}, "and no windows"),
        (
            {"several_labels": False, "label_names": ("a", "b"),
             "label_column": ("a", "b")},
            "label_column: expected one column without several_labels",
        ),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_told_apart_are_refused(changes, message):
    with pytest.raises(ArgumentError) as caught:
        dataclasses.replace(LABELS, **changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chosen", [(0, 0, 0), (0, 1, 0), (1.0, 0.0, 1.0)])
def test_joined_labels_are_split_again(chosen):
    names = ("b", "a b", "ü")
    cell = join_labels(names, chosen)
    assert split_labels(cell) == tuple(
        name for name, has in zip(names, chosen, strict=True) if has
    )
