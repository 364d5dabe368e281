import dataclasses

import pytest

from bvkeras import tasks
from bvkeras.errors import ArgumentError
from bvkeras.evaluation import kinds as evaluation_kinds
from bvkeras.pipeline import kinds as pipeline_kinds
from bvkeras.serving import kinds as serving_kinds
from bvkeras.tasks.label_sets import join_labels, split_labels
from bvkeras.training import kinds as training_kinds

LABELS = dataclasses.replace(
    tasks.get("sst2"),
    name="traits",
    label_names=("loud",),
    kind=tasks.Kind.LABELS,
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
def test_kind_says_what_a_model_gives(task, kind, num_labels):
    task = tasks.spec_of(task)
    assert (task.kind, task.num_labels) == (kind, num_labels)
    assert task.traits.per_token == (kind is tasks.Kind.SPAN)
    assert task.is_regression == (kind is tasks.Kind.SCORE)


@pytest.mark.parametrize("kind", tasks.Kind)
def test_each_layer_has_one_object_for_every_kind(kind):
    layers = (training_kinds, evaluation_kinds, pipeline_kinds, serving_kinds)
    for layer in layers:
        own = layer.kind_of(kind)
        assert [
            other for other in tasks.Kind if layer.kind_of(other) is own
        ] == [kind]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_names": None}, "label_names: expected a name of each label"),
        ({"label_names": ()}, "of kind multilabel, at least 1, got []"),
        ({"kind": tasks.Kind.CLASSES}, "of kind classification, at least 2"),
        ({"kind": tasks.Kind.SCORE}, "expected None of kind regression, got"),
        ({"label_names": ("a|b",)}, "received 'a|b', expected a name without"),
        ({"label_names": ("",)}, "received '', expected a name without"),
        ({"label_names": (" a",)}, "without blanks around it"),
        ({"label_names": ("a", "a")}, "'a' comes twice"),
        ({"windows": tasks.WindowPlan()}, "windows: expected None of kind"),
        (
            {"kind": tasks.Kind.SPAN, "label_names": None},
            "windows: expected a WindowPlan of kind span, got None",
        ),
        (
            {"kind": tasks.Kind.CLASSES, "label_names": ("a", "b"),
             "label_column": ("a", "b")},
            "label_column: expected one column of kind classification",
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
