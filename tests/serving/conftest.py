"""A tiny encoder with heads of each kind, and one export of them."""

import types

import keras
import numpy as np
import pytest

import bvkeras
from bvkeras import tasks
from bvkeras.serving import ServedHead, ServedTask, add_tasks, export
from bvkeras.tasks.window_plan import WindowPlan

MAX_TOKENS = 32
PLAN = WindowPlan(stride=8, question_tokens=10)


@pytest.fixture(scope="session")
def encoder(tiny_bert):
    return bvkeras.load_backbone(tiny_bert, dropout=0.0)


@pytest.fixture(scope="session")
def heads(encoder):
    """Keras heads by task, with weights that spread the answers."""
    sizes = {
        "num_layers": encoder.num_layers,
        "hidden_dim": encoder.hidden_dim,
        # Must be off in an export.
        "dropout": 0.5,
    }
    models = bvkeras.models
    made = {
        "sst2": models.PoolingClassifier(2, 4, MAX_TOKENS, **sizes),
        "mnli": models.PoolingClassifier(
            3, 3, MAX_TOKENS, pooler="scalar_mix", **sizes
        ),
        "stsb": models.PoolingRegressor(5, **sizes),
        "squad_v2": models.PoolingSpanModel(4, **sizes),
    }
    for seed, head in enumerate(made.values()):
        randomize(head, seed)
    return made


def randomize(head: keras.Model, seed: int) -> None:
    """Gives a head other weights, as training would."""
    random = np.random.default_rng(seed)
    head.set_weights(
        [
            random.normal(scale=0.3, size=weight.shape)
            for weight in head.get_weights()
        ]
    )


def served(name: str, encoder, heads) -> ServedTask:
    """A task with its head, on all hidden states."""
    return ServedTask.of(
        tasks.get(name),
        ServedHead.of(heads[name]),
        max_tokens=MAX_TOKENS,
        layers=range(encoder.num_layers),
        windows=PLAN,
    )


@pytest.fixture(scope="session")
def exported(encoder, heads, tmp_path_factory):
    """Version 1 with one head, version 2 with three more added to it."""
    directory = tmp_path_factory.mktemp("exports") / "tiny"
    first = export(encoder, [served("sst2", encoder, heads)], directory)
    before = contents(first)
    second = add_tasks(
        [served(name, encoder, heads) for name in heads if name != "sst2"],
        directory,
        encoder_digest=encoder.digest(),
    )
    return types.SimpleNamespace(
        directory=directory, first=first, second=second, before=before
    )


def contents(directory) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
