import dataclasses

import pytest

import bvkeras
from bvkeras import tasks
from bvkeras.errors import CheckError

RTE, SQUAD = tasks.get("rte"), tasks.get("squad_v2")


@pytest.mark.parametrize("name", tasks.names())
def test_our_tasks(name):
    bvkeras.testing.check_task(tasks.get(name))


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (RTE, {"name": "my task"}, "name: received 'my task', expected lett"),
        (RTE, {"name": "all"}, "name: received 'all'"),
        (RTE, {"title": " "}, "title: is blank"),
        (RTE, {"title": "Mine"}, "name: 'rte' is bvkeras' own RTE"),
        (RTE, {"text_columns": ("a", "a")}, "one comes twice"),
        (RTE, {"label_names": ("a", " ")}, "label_names: received ' '"),
        (RTE, {"label_range": (0.0, 1.0)}, "label_range: received"),
        (RTE, {"evaluation_splits": ("train",)}, "evaluation_splits: of"),
        (RTE, {"metrics": ("bleu",)}, "metrics: bleu: names: unknown metric"),
        (RTE, {"label_names": ("a", "b", "c"), "metrics": ("f1",)}, "f1: "),
        (RTE, {"label_names": ["a", "b"]}, "label_names: is .'a', 'b'., and"),
        (SQUAD, {"metrics": ("exact", "bleu")}, "metrics: received bleu, exp"),
    ],
)
def test_a_fault_is_found_and_named(spec, changes, message):
    if "name" not in changes and "title" not in changes:
        changes = {"name": "mine", **changes}
    with pytest.raises(CheckError, match=message) as error:
        bvkeras.testing.check_task(dataclasses.replace(spec, **changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "setting", "value"),
    [
        (RTE, "finetune.max_tokens", 3),
        (SQUAD, "head.token_pooling", "mean"),
    ],
)
def test_a_setting_that_is_not_the_kinds_is_named(spec, setting, value):
    changes = {setting.partition(".")[-1]: value}
    settings = spec.small_settings.replaced(**changes)
    wrong = dataclasses.replace(spec, name="mine", small_settings=settings)
    with pytest.raises(CheckError, match=f"small_settings.{setting}: received"):
        bvkeras.testing.check_task(wrong)
