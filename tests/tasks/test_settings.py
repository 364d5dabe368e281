"""A task's settings, side by side and in their two configs."""

import pytest

from bvkeras.errors import ArgumentError
from bvkeras.models import pooling_model
from bvkeras.tasks.finetune_config import FinetuneConfig
from bvkeras.tasks.head_config import HeadConfig
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.settings import TaskSettings

SETTINGS = TaskSettings(FinetuneConfig(1e-4), HeadConfig())


def test_each_name_is_of_one_config():
    changed = SETTINGS.replaced(
        learning_rate=1e-3,
        epochs=2,
        units=3,
        head_learning_rate=1e-2,
        head_epochs=7,
        pooler="scalar_mix",
        seed=5,
    )
    assert changed.finetune == FinetuneConfig(1e-3, epochs=(2.0,), seed=5)
    assert changed.head == HeadConfig(
        units=3, learning_rate=1e-2, epochs=7, pooler="scalar_mix", seed=5
    )
    assert SETTINGS.replaced(**changed.as_options()) == changed


def test_a_head_of_weighted_means_brings_its_settings():
    head = SETTINGS.replaced(pooler="weighted", head_epochs=7).head
    assert head == HeadConfig(
        pooler="weighted",
        token_pooling="mean",
        learning_rate=3e-3,
        projection_rate=0.001,
        batch_size=32,
        epochs=7,
    )


def test_poolers_are_those_of_the_models():
    assert Kind.SPAN.traits.poolers == pooling_model.POOLERS


def test_stop_points_are_in_order_each_once():
    assert FinetuneConfig(1e-4, epochs=[2, 0.5, 2.0]).epochs == (0.5, 2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("epochs", ()),
        ("epochs", (1.0, float("nan"))),
        ("freeze_layers", -1),
        ("head_dropout", 1.0),
        ("token_pooling", "cls"),
        ("units", 2.5),
        ("head_units", 2),
        ("head_seed", 2),
    ],
)
def test_what_cannot_be_is_named_as_it_was_given(name, value):
    with pytest.raises(ArgumentError, match=f"^{name}: "):
        SETTINGS.replaced(**{name: value})
