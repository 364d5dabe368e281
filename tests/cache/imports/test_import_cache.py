"""Hidden states that went out of a cache come back as they were."""

import contextlib
import errno
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bvkeras import tasks
from bvkeras.cache.convert import convert_cache
from bvkeras.cache.copy import copy_cache
from bvkeras.cache.format import DTYPES
from bvkeras.cache.imports import importer
from bvkeras.cache.imports.importer import import_cache
from bvkeras.cache.imports.label_rows import label_rows, learn_task
from bvkeras.cache.imports.opening import open_states
from bvkeras.cache.info import describe_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.errors import ArgumentError, CacheError, DataError, RunError
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.training.head import train_head
from tests.cache.imports.dumped import KINDS, dump, states_of
from tests.faults.made_up_extraction import at_operation
from tests.tiny_runs import CLASSES, LABELS, SCORES, fail_at_call

HEAD = {"units": 2, "epochs": 2, "batch_size": 8, "seed": 1}


@pytest.fixture(scope="session")
def imported(states, labels, written, tmp_path_factory):
    """The written cache, out and in again; do not change it."""
    directory = tmp_path_factory.mktemp("imported")
    source = open_states(**dump("npy", states, directory / "dumped"))
    return import_cache(
        source,
        CLASSES,
        directory / "cache",
        encoder="elsewhere",
        labels=labels,
        ids=[name.decode() for name in written.index.ids],
        dtype="float32",
    )


def assert_same_states(cache, states):
    for found, expected in zip(states_of(cache), states, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_states_come_back_from_every_format(kind, states, labels, tmp_path):
    source = open_states(**dump(kind, states, tmp_path / "dumped"))
    cache = import_cache(
        source,
        CLASSES,
        tmp_path / "cache",
        encoder="elsewhere",
        labels=labels,
        dtype="float32",
    )
    assert find_problems(tmp_path / "cache") == []
    assert_same_states(cache, states)
    assert cache.labels().tolist() == labels
    assert cache.max_tokens in (16, max(map(len, states)))
    # So a stopped import goes on in the middle.
    for found, expected in zip(source.read(13), states[13:], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("safetensors, a tensor a layer", "bfloat16"),
        ("a file for each request", "bfloat16"),
        ("a file for each request", "float16"),
        ("npz with offsets", "float64"),
    ],
)
def test_types(kind, dtype, states, labels, tmp_path):
    """Stored as a conversion of the same values stores them."""
    source = open_states(**dump(kind, states, tmp_path / "dumped", dtype))
    assert source.dtype == dtype
    caches = {
        stored: import_cache(
            source,
            CLASSES,
            tmp_path / stored,
            encoder="elsewhere",
            labels=labels,
            dtype=stored,
        )
        for stored in DTYPES
    }
    whole = caches.pop("float32")
    raw = DTYPES.get(dtype, dtype)
    assert_same_states(whole, [x.astype(raw).astype("f4") for x in states])
    for stored, cache in caches.items():
        expected = convert_cache(
            whole.directory, tmp_path / f"converted {stored}", dtype=stored
        )
        assert_same_states(cache, states_of(expected))


def test_head_is_that_of_the_encoders_cache(
    imported, written, states, labels, tmp_path
):
    """The same values, and so the same weights and scores."""
    found = train_head(CLASSES, imported, tmp_path / "imported", **HEAD)
    expected = train_head(CLASSES, written, tmp_path / "written", **HEAD)
    models = [head.load_model() for head in (found, expected)]
    for one, other in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(one, other)
    # Apart from it: another split, from other files.
    split = open_states(**dump("npz with a mask", states[:9], tmp_path / "dev"))
    validation = import_cache(
        split,
        CLASSES,
        tmp_path / "validation",
        encoder="elsewhere",
        labels=labels[:9],
        split="validation",
        dtype="float32",
    )
    scores = evaluate_head(CLASSES, found, validation, tmp_path / "scores")
    outputs = models[0].predict(validation.as_dataset(batch_size=9), verbose=0)
    right = np.mean(outputs.argmax(axis=1) == labels[:9])
    assert scores.metrics["accuracy"] == pytest.approx(right)
    with pytest.raises(
        ArgumentError, match="of an encoder of bvkeras, the head was trained"
    ):
        evaluate_head(CLASSES, found, written, tmp_path / "other")
    for number, (changes, message) in enumerate(
        (
            ({"encoder": "another"}, "imported from 'another', the head was"),
            ({"layer_names": list("abc")}, "of the layers a, b, c, the head"),
        )
    ):
        arguments = {"encoder": "elsewhere", "labels": labels[:9], **changes}
        stranger = import_cache(
            split,
            CLASSES,
            tmp_path / f"stranger-{number}",
            split="validation",
            **arguments,
        )
        with pytest.raises(ArgumentError, match=message):
            evaluate_head(CLASSES, found, stranger, tmp_path / "strange")


def test_identity_says_where_states_came_from(imported, encoder, tmp_path):
    about = imported.manifest.imported
    assert about["encoder"] == "elsewhere"
    assert about["layers"] == ["0", "1", "2"]
    (source,) = about["sources"]
    assert (source["name"], source["files"]) == ("states.npy", 2)
    told = describe_cache(imported.directory)
    assert told["encoder"] == "elsewhere, not one of bvkeras"
    assert "states.npy (2 files" in told["from"]
    message = "is of hidden states imported from 'elsewhere', which bvkeras"
    with pytest.raises(CacheError, match=message):
        imported.require(encoder)
    copied = copy_cache(imported.directory, tmp_path / "copy")
    fewer = convert_cache(
        copied.directory, tmp_path / "fewer", dtype="int8", layers=[0, 2]
    )
    assert fewer.manifest.imported == about
    assert describe_cache(fewer.directory)["names of layers"] == "0, 2"


def test_files_of_another_content_are_another_cache(
    states, labels, tmp_path, imported
):
    changed = [states[0] + 1, *states[1:]]
    source = open_states(**dump("npy", changed, tmp_path / "dumped"))
    target = shutil.copytree(imported.directory, tmp_path / "cache")
    arguments = {
        "encoder": "elsewhere",
        "labels": labels,
        "ids": [name.decode() for name in imported.index.ids],
        "dtype": "float32",
    }
    with pytest.raises(RunError, match=r"was made with imported\.sources"):
        import_cache(source, CLASSES, target, **arguments)


def test_stopped_import_goes_on(states, labels, tmp_path, monkeypatch):
    monkeypatch.setattr(importer, "SHARD_BYTES", 8000)
    source = open_states(**dump("parquet", states, tmp_path / "dumped"))
    arguments = {
        "encoder": "elsewhere",
        "labels": labels,
        "dtype": "float32",
    }

    def run(name):
        return import_cache(source, CLASSES, tmp_path / name, **arguments)

    whole = run("whole")
    assert len(whole.manifest.shards) > 3
    with monkeypatch.context() as patch:
        fail_at_call(patch, os, "replace", 6, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run("stopped")
    assert 0 < len(list((tmp_path / "stopped").glob("*.tfrecord"))) < 4
    again = run("stopped")
    assert again.manifest.shards == whole.manifest.shards
    # Finished, it is opened: the states are not read again.
    monkeypatch.setattr(type(source), "read", None)
    assert len(run("whole")) == len(states)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()]
)
def test_import_that_ends_at_any_operation(
    error, states, labels, tmp_path, monkeypatch
):
    """What is there under a final name is whole; the same call goes on."""
    monkeypatch.setattr(importer, "SHARD_BYTES", 24_000)
    states = {
        "hidden_states": np.concatenate(states),
        "lengths": _sizes(states),
    }
    spec = learn_task(label_rows(labels, "x"), "mood")

    def run(name):
        return import_cache(
            states,
            spec,
            tmp_path / name,
            encoder="elsewhere",
            labels=labels,
            dtype="float32",
        )

    def end():
        raise error

    with at_operation(-1, end) as operations:
        whole = run("whole").manifest.shards
    assert len(whole) == 2
    assert ("write", tasks.TASK_FILE) in operations
    for number in range(len(operations)):
        name = str(number)
        with at_operation(number, end), pytest.raises(type(error)):
            run(name)
        left = tmp_path / name
        if (left / "manifest.json").exists():
            with contextlib.suppress(CacheError):
                assert HiddenStateCache(left).manifest.shards == whole
        assert not list(left.glob(".tmp*"))
        assert run(name).manifest.shards == whole
        assert find_problems(left) == []


def test_longer_examples_are_cut(states, labels, tmp_path):
    cache = import_cache(
        {"hidden_states": np.concatenate(states), "lengths": _sizes(states)},
        CLASSES,
        tmp_path / "cache",
        encoder="elsewhere",
        labels=labels,
        max_tokens=5,
        dtype="float32",
    )
    assert cache.max_tokens == 5
    assert_same_states(cache, [example[:5] for example in states])


def _sizes(states):
    return np.array([len(example) for example in states])


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (SCORES, np.linspace(0, 5, 23, dtype="float32")),
        (LABELS, np.arange(69).reshape(23, 3) % 2),
        (CLASSES, ["negative", "positive"] * 11 + ["negative"]),
    ],
    ids=["scores", "labels", "names"],
)
def test_labels_of_each_kind(task, labels, states, tmp_path):
    cache = import_cache(
        {"hidden_states": np.concatenate(states), "lengths": _sizes(states)},
        task,
        tmp_path / "cache",
        encoder="elsewhere",
        labels=labels,
    )
    expected = labels
    if isinstance(labels, list):
        expected = [task.label_names.index(name) for name in labels]
    np.testing.assert_array_equal(cache.labels(), expected)
    head = train_head(task, cache, tmp_path / "head", **HEAD)
    scores = evaluate_head(task, head, cache, tmp_path / "scores").metrics
    assert set(scores) == set(task.metrics)


@pytest.mark.parametrize(
    ("labels", "options", "kind", "names"),
    [
        ([2, 0] * 5, {}, "classification", ("0", "2")),
        ([1, 0] * 5, {"label_names": ("no", "yes")}, "classification", None),
        (["b", "a"] * 5, {}, "classification", ("a", "b")),
        ([["x"], ["x", "y"], []] * 3, {}, "multilabel", ("x", "y")),
        (
            np.eye(2)[[0, 1, 1, 0]].astype(int),
            {"label_names": ("p", "q")},
            "multilabel",
            None,
        ),
        ([0.5, 1.5, 2.5], {}, "regression", ()),
        ([1, 2, 3], {"kind": "regression"}, "regression", ()),
    ],
)
def test_task_of_labels(labels, options, kind, names):
    spec = learn_task(label_rows(labels, "labels.npy"), "mine", **options)
    assert spec.kind is tasks.Kind(kind)
    wanted = options.get("label_names") if names is None else names or None
    assert spec.label_names == wanted


def test_own_task_lies_beside_its_cache(states, labels, tmp_path):
    names = [("sad", "glad")[label] for label in labels]
    source = open_states(**dump("npy", states, tmp_path / "dumped"))
    spec = learn_task(label_rows(names, "x"), "mood")
    cache = import_cache(
        source, spec, tmp_path / "cache", encoder="elsewhere", labels=names
    )
    assert tasks.get(cache.directory) == spec
    numbers = [spec.label_names.index(name) for name in names]
    assert cache.labels().tolist() == numbers
    copied = copy_cache(cache.directory, tmp_path / "copy")
    convert_cache(copied.directory, tmp_path / "int8", dtype="int8")
    assert tasks.get(tmp_path / "int8") == spec
    other = learn_task(label_rows([*"abab"], "x"), "mood")
    (cache.directory / "manifest.json").unlink()
    with pytest.raises(RunError, match="describes another task"):
        import_cache(
            source,
            other,
            cache.directory,
            encoder="elsewhere",
            labels=["a"] * len(states),
        )


def test_names_that_datasets_keeps(states, labels, tmp_path):
    """A column of numbers whose names stand in the table's metadata."""
    path = dump("parquet", states, tmp_path / "dumped")["source"]
    table = pa.parquet.read_table(path).append_column("label", pa.array(labels))
    feature = {"_type": "ClassLabel", "names": ["positive", "negative"]}
    about = {"info": {"features": {"label": feature}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pa.parquet.write_table(table, path)
    cache = import_cache(path, CLASSES, tmp_path / "cache", encoder="elsewhere")
    # Of the task it is the other way round.
    assert cache.labels().tolist() == [1 - label for label in labels]


def test_refused_import_leaves_nothing(states, labels, tmp_path, monkeypatch):
    monkeypatch.setattr(importer, "SHARD_BYTES", 8000)
    states = [*states[:-1], states[-1].copy()]
    states[-1][1, 2, 3] = np.nan
    source = open_states(**dump("npz with offsets", states, tmp_path / "npz"))
    message = r"states\.npz: row 22: a hidden state is NaN or infinite"
    for there in (False, True):
        target = tmp_path / "new"
        if there:
            target.mkdir()
            (target / "notes.txt").write_text("mine")
        with pytest.raises(DataError, match=message):
            import_cache(
                source, CLASSES, target, encoder="elsewhere", labels=labels
            )
        left = [path.name for path in target.glob("*")]
        assert sorted(set(left) - {".lock"}) == ["notes.txt"] * there


def test_value_that_the_type_cannot_hold(states, labels, tmp_path):
    states = [states[0] + 1e5, *states[1:]]
    source = open_states(**dump("npy", states, tmp_path / "dumped"))
    with pytest.raises(
        DataError, match=r"row 0: .* more than float16 can hold"
    ):
        import_cache(
            source,
            CLASSES,
            tmp_path / "cache",
            encoder="elsewhere",
            labels=labels,
            dtype="float16",
        )
    assert not (tmp_path / "cache").exists()
