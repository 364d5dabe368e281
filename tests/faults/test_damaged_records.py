"""JSON records of a run, changed at random: read, or refused in one line.

And configs that ask for more than the weights beside them hold.
"""

import copy
import json
import os
import random
import shutil
import zipfile

import h5py
import keras_tuner
import numpy as np
import pytest

from bvkeras import fileio, tasks
from bvkeras.cache.format import Manifest
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import BackboneError, BvkerasError, CacheError, DataError
from bvkeras.evaluation.kinds import kind_of
from bvkeras.pipeline.run import _check_directory
from bvkeras.reports.compare import compare_reports
from bvkeras.reports.markdown import to_markdown
from bvkeras.reports.report import read_report
from bvkeras.training.finetune import Snapshot
from bvkeras.training.head import TrainedHead, train_head
from bvkeras.tuning.durable_oracle import durable
from bvkeras.tuning.head_search import HeadSearch
from bvkeras.tuning.result import best_results, trial_results
from tests.evaluation.conftest import make_comparison
from tests.tiny_runs import finetune_classes
from tests.tuning.made_searches import CLASSES, SPACE, made_cache

__all__ = ["make_comparison"]

_STRANGE = (
    *(None, True, 0, -1, 1.5, 10**30, 1 << 62, float("nan"), float("inf")),
    *("", "x", "\x1b[2J", "../../etc/passwd", "9" * 5000),
    *([], [1], [[]], {}, {"a": 1}, {"values": [1]}),
)


@pytest.fixture(scope="module")
def made(tiny_bert, tmp_path_factory):
    """A head and a snapshot, as training leaves them; do not change them."""
    folder = tmp_path_factory.mktemp("made")
    cache = made_cache(folder / "cache")
    train_head(CLASSES, cache, folder / "head", units=2, epochs=1)
    (snapshot,) = finetune_classes(tiny_bert, folder / "run", epochs=(1,))
    HeadSearch(
        CLASSES.name, str(folder / "cache"), folder / "head", 3, SPACE
    ).write(cache)
    shutil.copytree(snapshot.directory, folder / "snapshot")
    return folder


# The records


def _oracle(folder):
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.0, 1.0)
    space.Choice("units", [2, 4])
    oracle = durable(
        keras_tuner.oracles.RandomSearchOracle(
            keras_tuner.Objective("score", "max"),
            max_trials=4,
            seed=1,
            hyperparameters=space,
        )
    )
    oracle.verbose = 0
    oracle._set_project_dir(folder, "trials")
    return oracle


def _reload(path):
    """What is damaged is set aside, and the search goes on."""
    folder = path.parents[1 if path.name == "oracle.json" else 2]
    oracle = _oracle(folder)
    oracle.reload()
    best_results(trial_results(oracle.trials.values()), "accuracy")
    assert oracle.create_trial("worker0-000").trial_id is not None
    oracle.save()


def _read_report(path):
    report = read_report(path)
    to_markdown(compare_reports(report, report))


def _open_snapshot(path):
    Snapshot.open(path.parent).digest()


def _evaluate(path):
    path.with_suffix(".tsv").touch()
    found = kind_of(CLASSES.kind).evaluate(
        *(CLASSES, path.stem, None, path.parent, {"head": "x"}),
        predict=None,
        threshold=None,
    )
    assert all(
        isinstance(value, (int, float)) for value in found.metrics.values()
    )


def _records(made, make_comparison, folder):
    """Pairs of a file and what reads it; the files can be changed."""
    oracle = _oracle(folder)
    for number in range(2):
        trial = oracle.create_trial(f"worker0-{number}")
        oracle.update_trial(trial.trial_id, {"score": 0.5 + number / 10})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    oracle.create_trial("worker0-2")
    tasks.write_task(CLASSES, folder / "task.json")
    for name, value in (
        ("report.json", make_comparison().to_dict()),
        ("settings.json", {"task": "sst2", "epochs": [1.0], "seed": 0}),
        (
            "validation.json",
            {"metrics": {"f1": 0.5}, "seconds": 1, "settings": {"head": "x"}},
        ),
    ):
        fileio.write_json(folder / name, value)
    for source, name in (
        (made / "head" / "head.json", "head.json"),
        (made / "snapshot" / "snapshot.json", "snapshot.json"),
        (made / "head" / "settings.json", "search/settings.json"),
        (made / "cache" / "manifest.json", "manifest.json"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(source, folder / name)
    return [
        (folder / "head.json", lambda path: TrainedHead.open(path.parent)),
        (folder / "snapshot.json", _open_snapshot),
        (
            folder / "search" / "settings.json",
            lambda path: HeadSearch.open(path.parent),
        ),
        (
            folder / "settings.json",
            lambda path: _check_directory(
                path.parent,
                {"task": "sst2", "epochs": [1.0], "seed": 0},
                CLASSES,
            ),
        ),
        (folder / "task.json", tasks.read_task),
        (folder / "report.json", _read_report),
        (folder / "validation.json", _evaluate),
        (folder / "manifest.json", lambda path: Manifest.read(path.parent)),
        (folder / "trials" / "oracle.json", _reload),
        (folder / "trials" / "trial_0" / "trial.json", _reload),
        (folder / "trials" / "trial_2" / "trial.json", _reload),
    ]


# The changes


def _places(value, path=()):
    yield path
    children = ()
    if len(path) > 20:
        return
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value[:5])
    for key, child in children:
        yield from _places(child, (*path, key))


def _changed(value, chance):
    """The bytes of a record, of which some values are others."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        places = list(_places(value))[1:]
        if not places:
            break
        *way, key = chance.choice(places)
        owner = value
        for step in way:
            owner = owner[step]
        kind = chance.randrange(4)
        if kind == 0:
            del owner[key]
        elif kind == 1:
            deep = owner[key]
            for _ in range(chance.choice((1, 80, 200))):
                deep = [deep]
            owner[key] = deep
        else:
            owner[key] = copy.deepcopy(chance.choice(_STRANGE))
    if isinstance(value, dict) and "digest" in value and chance.random() < 0.7:
        del value["digest"]
        value["digest"] = fileio.value_digest(value)
    text = json.dumps(value).encode()
    kind = chance.randrange(12)
    if kind == 0:
        text = text[: chance.randrange(len(text))]
    elif kind == 1:
        place = chance.randrange(len(text))
        text = text[:place] + bytes([chance.randrange(256)]) + text[place + 1 :]
    elif kind == 2:
        text = text.replace(b'"', b'"\\ud800', chance.randrange(1, 3))
    elif kind == 3:
        text = chance.choice((b"", b"[" * 99_999, b"null", b"7", b"\xff" * 9))
    return text


def _try_changes(made, make_comparison, folder, capsys, count, seed):
    chance = random.Random(seed)
    refused = 0
    for number in range(count):
        if number % 500 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            records = _records(made, make_comparison, folder)
            whole = {path: path.read_bytes() for path in folder.rglob("*.json")}
        path, read = chance.choice(records)
        text = _changed(json.loads(whole[path]), chance)
        path.write_bytes(text)
        try:
            read(path)
        except BvkerasError as error:
            refused += 1
            message = str(error)
            assert str(path.parent) in message, (number, text)
            assert message.isprintable(), (number, text)
            assert len(message) < 1000, (number, text)
        except Exception as error:
            raise AssertionError(f"{path}, {number}: {text!r}") from error
        for path, content in whole.items():
            path.write_bytes(content)
        for left in (folder / "trials").glob("trial_[3-9]*"):
            shutil.rmtree(left)
        capsys.readouterr()
    assert count / 4 < refused < count


def test_changed_records(made, make_comparison, tmp_path, capsys):
    folder = tmp_path / "records"
    _try_changes(made, make_comparison, folder, capsys, 400, seed=26)


@pytest.mark.full
def test_many_changed_records(made, make_comparison, tmp_path, capsys):
    folder = tmp_path / "records"
    _try_changes(made, make_comparison, folder, capsys, 10_000, seed=28)


@pytest.mark.parametrize("field", ["status", "hyperparameters", "metrics"])
def test_trial_without_a_field_is_set_aside(tmp_path, field, capsys):
    oracle = _oracle(tmp_path)
    oracle.create_trial("worker0-0")
    path = tmp_path / "trials" / "trial_0" / "trial.json"
    record = fileio.read_json(path)
    del record[field]
    fileio.write_json(path, record)
    _reload(path)
    assert path.with_name("trial.json.damaged").exists()
    line = capsys.readouterr().err
    assert line == (
        f"warning: {path} is damaged and set aside as trial.json.damaged: "
        f"'{field}' is a required property\n"
    )


def test_setting_without_conditions_is_set_aside(tmp_path, capsys):
    oracle = _oracle(tmp_path)
    oracle.create_trial("worker0-0")
    path = tmp_path / "trials" / "trial_0" / "trial.json"
    record = fileio.read_json(path)
    del record["hyperparameters"]["space"][0]["config"]["conditions"]
    fileio.write_json(path, record)
    _reload(path)
    assert f"{path} is damaged and set aside" in capsys.readouterr().err


# Sizes


@pytest.fixture
def head(made, tmp_path):
    """A copy of the head, and what writes its archive with other parts."""
    directory = shutil.copytree(made / "head", tmp_path / "head")
    path = directory / "head.keras"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def rewrite(config=None, **changes):
        content = dict(parts)
        if config:
            whole = json.loads(parts["config.json"])
            whole["config"].update(config)
            content["config.json"] = json.dumps(whole).encode()
        content |= {name.replace("_", "."): v for name, v in changes.items()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in content.items():
                if part is not None:
                    compression = (
                        zipfile.ZIP_DEFLATED
                        if len(part) > 1 << 20
                        else zipfile.ZIP_STORED
                    )
                    archive.writestr(name, part, compression)
        return TrainedHead.open(directory)

    return rewrite


@pytest.mark.parametrize(
    "config",
    [
        {"units": 10**9},
        {"sequence_length": 10**12},
        {"num_layers": 10**6},
        {"hidden_dim": 10**12},
        {"num_classes": 10**9},
    ],
)
def test_head_that_asks_for_more_than_it_holds(head, config):
    trained = head(config)
    with pytest.raises(DataError, match=r"asks for [\d,]+ weights, the file"):
        trained.load_model()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config_json": b"{}"}, "'class_name' is a required property"),
        ({"config_json": b"\xff"}, "is not JSON in UTF-8"),
        ({"config_json": b" " * (64 << 20)}, "config.json has 67,108,864"),
        ({"config_json": None}, "is damaged: .*no item named"),
        ({"config": {"units": "4"}}, "config.units: '4' is no integer"),
        ({"config": {"dropout": "x"}}, "is damaged: "),
    ],
)
def test_damaged_head(head, changes, message):
    trained = head(**changes)
    with pytest.raises(DataError, match=message) as error:
        trained.load_model()
    assert str(trained.model_path) in str(error.value)
    assert str(error.value).isprintable()


def test_head_whose_weights_are_only_declared(head, tmp_path):
    trained = head({"units": 10**6})
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("huge", (10**12,), np.float32)
    weights = (tmp_path / "weights.h5").read_bytes()
    trained = head({"units": 10**6}, **{"model_weights_h5": weights})
    with pytest.raises(DataError, match="the file holds 0"):
        trained.load_model()


def test_head_that_is_no_archive(head):
    trained = head()
    assert trained.load_model().units == 2
    trained.model_path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"head.keras is damaged"):
        trained.load_model()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_layers", 10**6),
        ("vocabulary_size", 10**12),
        ("intermediate_dim", 10**9),
        ("hidden_dim", "16"),
        ("num_heads", None),
    ],
)
def test_encoder_that_asks_for_more_than_it_holds(made, tmp_path, name, value):
    directory = shutil.copytree(made / "snapshot" / "encoder", tmp_path / "e")
    config = json.loads((directory / "config.json").read_text())
    config["config"][name] = value
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        BackboneError, match=r"config.json.* (asks for|is no|at most)"
    ):
        load_backbone(directory)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_hidden_layers", 10**6),
        ("max_position_embeddings", 10**12),
        ("intermediate_size", 10**9),
    ],
)
def test_hugging_face_encoder_that_asks_for_more(
    tiny_bert, tmp_path, name, value
):
    directory = shutil.copytree(tiny_bert, tmp_path / "encoder")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {name: value}))
    with pytest.raises(
        BackboneError, match=r"config.json.* (asks for|at most)"
    ):
        load_backbone(directory)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"hidden_act": 7}',
        '{"tokenizer": {"lowercase": "no"}, "hidden_act": "tanh"}',
        '{"tokenizer": {"other": true}, "hidden_act": "tanh"}',
    ],
)
def test_damaged_sidecar(made, tmp_path, content):
    directory = shutil.copytree(made / "snapshot" / "encoder", tmp_path / "e")
    (directory / "bvkeras.json").write_text(content)
    with pytest.raises(BackboneError, match=r"bvkeras\.json: ") as error:
        load_backbone(directory)
    assert str(error.value).isprintable()


# Caches


def test_manifest_that_is_no_file_or_elsewhere(made, tmp_path):
    directory = shutil.copytree(made / "cache", tmp_path / "cache")
    path = directory / "manifest.json"
    outside = path.rename(tmp_path / "outside.json")
    for make, message in (
        (lambda: os.mkfifo(path), "is no plain file"),
        (lambda: path.symlink_to(outside), "is a link to a place outside"),
        (lambda: path.symlink_to("/dev/zero"), "is a link to a place outside"),
    ):
        make()
        with pytest.raises(CacheError, match=f"manifest.json:? {message}"):
            HiddenStateCache(directory)
        path.unlink()
