"""What is loaded, what of it is asked together, and what is refused."""

import json
import shutil

import numpy as np
import pytest

import bvkeras
from bvkeras.errors import DataError
from bvkeras.serving import ServedHead, ServedTask, export
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.tasks import Kind
from tests.serving.conftest import MAX_TOKENS, randomize


@pytest.fixture(scope="module")
def version(exported):
    return LoadedVersion(exported.second)


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported.second, tmp_path / "export" / "2")


def describe(copy, change):
    path = copy / "assets.extra" / "bvkeras.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def test_tasks_with_other_texts_are_not_asked_together(version):
    assert version.together("hidden_states") is None
    for name in ("sst2", "mnli", "squad_v2", "all", "tokens"):
        assert version.together(name) == name


@pytest.fixture(scope="module")
def alike(encoder, tmp_path_factory):
    """Three heads that read the same text."""
    tasks = []
    for seed, (name, classes) in enumerate({"a": 2, "b": 3, "c": 0}.items()):
        make = (
            bvkeras.models.PoolingClassifier
            if classes
            else bvkeras.models.PoolingRegressor
        )
        head = make(
            *([classes] if classes else []),
            *(4, MAX_TOKENS),
            num_layers=encoder.num_layers,
            hidden_dim=encoder.hidden_dim,
        )
        randomize(head, seed)
        tasks.append(
            ServedTask(
                name=name,
                head=ServedHead.of(head),
                layers=tuple(range(encoder.num_layers)),
                max_tokens=MAX_TOKENS,
                num_texts=1,
                label_names=tuple("xyz"[:classes]) if classes else None,
                kind=Kind.CLASSES if classes else Kind.SCORE,
            )
        )
    directory = tmp_path_factory.mktemp("alike")
    return LoadedVersion(export(encoder, tasks, directory))


def test_tasks_on_one_text_are_answered_by_all(alike):
    texts = {"text": np.array([b"one", b"two of them"], dtype=object)}
    for name in ("a", "b", "c", "serving_default", "all"):
        assert alike.together(name) == "all"
        picked = alike.pick(name, alike.run("all", texts))
        own = alike.run(name, texts)
        assert picked.keys() == own.keys()
        for output, value in own.items():
            if value.dtype == object:
                assert picked[output].tolist() == value.tolist()
            else:
                np.testing.assert_allclose(picked[output], value, atol=1e-6)
    assert alike.together("tokens") == "tokens"


def test_unusual_export_is_refused_unless_allowed(copy):
    (copy / "more.txt").write_text("x")
    with pytest.raises(DataError, match=r"more\.txt"):
        LoadedVersion(copy)
    LoadedVersion(copy, allow_unusual=True).warm_up()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda d: d["tasks"].update(other=d["tasks"]["sst2"]), "other"),
        (lambda d: d["tasks"]["sst2"].pop("inputs"), "sst2 lacks inputs"),
        (lambda d: d["tasks"]["sst2"].update(inputs=["no"]), "other inputs"),
        (lambda d: d["tasks"].update(sst2=7), "does not fit"),
        (lambda d: d.update(tasks=[]), "bvkeras.json"),
    ],
)
def test_description_of_another_graph_is_refused(copy, change, part):
    describe(copy, change)
    with pytest.raises(DataError, match=part):
        LoadedVersion(copy)


@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.index"],
)
def test_damaged_export_is_one_line(copy, name):
    path = copy / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"^\S+/2\S* [^\n]+$"):
        LoadedVersion(copy)
