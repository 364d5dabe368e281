import dataclasses
import shutil

import keras
import numpy as np
import pytest

from bvkeras import fileio
from bvkeras.cache import memory
from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import (
    ArgumentError,
    CacheError,
    DataError,
    DivergedError,
    RunError,
)
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.models.pooling_regressor import PoolingRegressor
from bvkeras.training import head as head_module
from bvkeras.training.head import TrainedHead, build_head, train_head
from tests import fresh_process
from tests.tiny_runs import (
    CLASSES,
    SCORES,
    fail_at_call,
    forbid,
    make_examples,
)

PRICES = dataclasses.replace(SCORES, name="prices", label_range=None)
SETTINGS = {
    "units": 4,
    "learning_rate": 2e-2,
    "epochs": 3,
    "batch_size": 8,
    "dropout": 0.2,
    "seed": 3,
}


@pytest.fixture(scope="module")
def trained(classes_cache, tmp_path_factory):
    """A finished head; do not change it."""
    directory = tmp_path_factory.mktemp("head") / "run"
    train_head(CLASSES, classes_cache, directory, **SETTINGS)
    return directory


def assert_same_weights(first, second):
    for one, other in zip(
        TrainedHead.open(first).load_model().weights,
        TrainedHead.open(second).load_model().weights,
        strict=True,
    ):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


def accuracy(head, cache):
    logits = head.load_model().predict(cache.as_dataset(16), verbose=0)
    return (logits.argmax(axis=1) == cache.labels()).mean()


def test_classifier_learns(trained, classes_cache):
    head = TrainedHead.open(trained)
    assert isinstance(head.load_model(), PoolingClassifier)
    assert accuracy(head, classes_cache) > 0.9
    assert head.parameters == head.load_model().count_params()
    assert head.seconds > 0
    assert head.cache_identity == classes_cache.manifest.identity


def test_regressor_learns(scores_cache, tmp_path):
    head = train_head(
        SCORES, scores_cache, tmp_path, **{**SETTINGS, "epochs": 12}
    )
    model = head.load_model()
    assert isinstance(model, PoolingRegressor)
    scores = model.predict(scores_cache.as_dataset(16), verbose=0)
    labels = scores_cache.labels()
    assert np.corrcoef(scores.ravel(), labels)[0, 1] > 0.9


@pytest.fixture(scope="module")
def prices_cache(tiny_bert, tmp_path_factory):
    """The scores of `scores_cache` as prices of 300 to 1,000."""
    examples = make_examples(task=SCORES)
    return write_cache(
        load_backbone(tiny_bert, dropout=0.0),
        PRICES,
        dataclasses.replace(
            examples, task=PRICES.name, labels=300 + 500 * examples.labels
        ),
        tmp_path_factory.mktemp("prices"),
        max_tokens=16,
    )


@pytest.mark.parametrize(
    "token_pooling", ["flatten", pytest.param("mean", marks=pytest.mark.full)]
)
def test_scores_in_any_units(
    scores_cache, prices_cache, tmp_path, token_pooling
):
    outputs = []
    for task, cache in ((SCORES, scores_cache), (PRICES, prices_cache)):
        head = train_head(
            task,
            cache,
            tmp_path / task.name,
            **{**SETTINGS, "epochs": 12, "dropout": 0.0},
            token_pooling=token_pooling,
            projection_initializer="glorot_uniform",
        )
        model = head.load_model()
        outputs.append(model.predict(cache.as_dataset(16), verbose=0)[:, 0])
        record = fileio.read_json(head.directory / "head.json")
        labels = cache.labels().astype(float)
        assert record["target_mean"] == pytest.approx(labels.mean())
        assert record["target_deviation"] == pytest.approx(labels.std() / 1.5)
    np.testing.assert_allclose(outputs[1], 300 + 500 * outputs[0], rtol=1e-3)
    # Half of what always answering the mean is wrong by.
    labels = prices_cache.labels()
    assert np.std(labels - outputs[1]) < np.std(labels) / 2


def test_scalar_mix(classes_cache, tmp_path):
    head = train_head(
        CLASSES, classes_cache, tmp_path, **SETTINGS, pooler="scalar_mix"
    )
    # Mix: a weight a layer and a scale; then one layer of features only.
    parameters = (3 + 1) + (16 * 4 + 4) + (16 * 1 * 4 * 2 + 2)
    assert head.parameters == parameters
    mix = head.load_model().scalar_mix
    assert np.ptp(mix.weights[0].numpy()) > 0


def test_mean_over_tokens(classes_cache, tmp_path):
    settings = {**SETTINGS, "epochs": 6, "token_pooling": "mean"}
    head = train_head(CLASSES, classes_cache, tmp_path, **settings)
    parameters = (16 * 4 + 4) + (3 * 4 * 2 + 2)
    assert head.parameters == parameters
    assert head.load_model().sequence_length is None
    assert accuracy(head, classes_cache) > 0.9


def test_unknown_token_pooling(classes_cache, tmp_path):
    with pytest.raises(ArgumentError, match="token_pooling: expected one of"):
        train_head(
            CLASSES, classes_cache, tmp_path, **SETTINGS, token_pooling="max"
        )


def test_history_is_kept(classes_cache, tmp_path):
    head = train_head(
        CLASSES, classes_cache, tmp_path, **{**SETTINGS, "batch_size": 1}
    )
    steps = [record["step"] for record in head.history]
    assert steps == [20, 40, 60, 80, 100, 120]
    assert head.history[-1]["loss"] < head.history[0]["loss"]


def test_history_has_each_short_epoch(trained):
    history = TrainedHead.open(trained).history
    assert [record["step"] for record in history] == [5, 10, 15]
    assert history[-1]["loss"] < history[0]["loss"]


def test_file_opens_in_a_fresh_process(trained):
    script = (
        "import sys, keras, bvkeras\n"
        "print(keras.models.load_model(sys.argv[1]).count_params())"
    )
    path = TrainedHead.open(trained).model_path
    result = fresh_process.run("-c", script, path, check=True)
    assert int(result.stdout) == TrainedHead.open(trained).parameters


@pytest.mark.parametrize("step", [1, 7, 15])
def test_interrupted_epoch_comes_to_the_same_weights(
    classes_cache, trained, tmp_path, step
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(
            patch,
            head_module._Recorder,
            "on_train_batch_end",
            step,
            KeyboardInterrupt,
        )
        with pytest.raises(KeyboardInterrupt):
            train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)
    # What another part of the program draws must not show.
    keras.utils.set_random_seed(step)
    train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)
    assert_same_weights(tmp_path, trained)


def test_every_epoch_has_an_order_of_its_own(
    classes_cache, tmp_path, monkeypatch
):
    seeds, as_dataset = [], HiddenStateBatches.as_dataset

    def noted(self, *args, **kwargs):
        seeds.append(kwargs["seed"])
        return as_dataset(self, *args, **kwargs)

    monkeypatch.setattr(HiddenStateBatches, "as_dataset", noted)
    train_head(CLASSES, classes_cache, tmp_path / "whole", **SETTINGS)
    whole = seeds.copy()
    assert len(set(whole)) == SETTINGS["epochs"]
    seeds.clear()
    with monkeypatch.context() as patch:
        fail_at_call(patch, head_module, "save_state", 2, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)
    assert seeds == whole[:2]
    seeds.clear()
    train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)
    assert seeds == whole[1:]


@pytest.mark.parametrize("name", ["atomic_path", "write_json"])
def test_interrupted_after_the_last_epoch(
    classes_cache, trained, tmp_path, name
):
    # The first three atomic files are the states of the epochs.
    number = 4 if name == "atomic_path" else 1
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, head_module.fileio, name, number, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)
    assert not (tmp_path / "head.json").exists()
    with pytest.MonkeyPatch.context() as patch:
        forbid(patch, PoolingClassifier, "fit")
        head = train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)
    assert_same_weights(tmp_path, trained)
    assert head.seconds > 0


def test_finished_head_is_not_trained_again(
    classes_cache, trained, monkeypatch
):
    forbid(monkeypatch, head_module, "_train")
    train_head(CLASSES, classes_cache, trained, **SETTINGS)


def test_nothing_else_is_left(trained):
    names = {path.name for path in trained.iterdir()}
    assert names - {".lock"} == {"head.keras", "head.json"}


def test_leftovers_of_a_killed_run_go(classes_cache, trained, tmp_path):
    directory = shutil.copytree(trained, tmp_path / "copy")
    (directory / ".tmp.999999999.head.keras").touch()
    train_head(CLASSES, classes_cache, directory, **SETTINGS)
    assert not list(directory.glob(".tmp*"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("units", 5),
        ("learning_rate", 1e-3),
        ("epochs", 4),
        ("batch_size", 9),
        ("dropout", 0.1),
        ("pooler", "scalar_mix"),
        ("token_pooling", "mean"),
        ("projection_rate", 0.5),
        ("seed", 4),
    ],
)
def test_other_settings_in_the_same_directory(
    classes_cache, trained, name, value
):
    with pytest.raises(RunError, match=f"was made with {name} = "):
        train_head(CLASSES, classes_cache, trained, **{**SETTINGS, name: value})


def test_other_cache_in_the_same_directory(scores_cache, trained):
    with pytest.raises(RunError, match=r"made with cache\.task = "):
        train_head(SCORES, scores_cache, trained, **SETTINGS)


def test_directory_in_use(classes_cache, tmp_path):
    with (
        fileio.directory_lock(tmp_path),
        pytest.raises(RunError, match="in use"),
    ):
        train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)


def test_only_the_training_cache_is_read(classes_cache, tmp_path, monkeypatch):
    split = shutil.copytree(classes_cache.directory, tmp_path / "train")
    cache = HiddenStateCache(split)
    shutil.copytree(split, tmp_path / "validation")
    opened, scan = set(), RecordIndex.scan
    monkeypatch.setattr(
        RecordIndex,
        "scan",
        lambda directory, manifest: (
            opened.add(directory) or scan(directory, manifest)
        ),
    )
    fits, fit = [], keras.Model.fit
    monkeypatch.setattr(
        keras.Model,
        "fit",
        lambda *args, **kwargs: fits.append(kwargs) or fit(*args, **kwargs),
    )
    train_head(CLASSES, cache, tmp_path / "head", **SETTINGS)
    assert opened == {split}
    assert len(fits) == 3
    assert not any(name.startswith("validation") for name in set().union(*fits))


def test_seed_decides_the_start(classes_cache):
    starts = []
    for global_seed, seed in ((1, 5), (2, 5), (1, 6)):
        keras.utils.set_random_seed(global_seed)
        head = build_head(CLASSES, classes_cache, seed=seed)
        starts.append(head.linear_pooling.kernel.numpy())
    np.testing.assert_array_equal(starts[0], starts[1])
    assert (starts[0] != starts[2]).any()


def test_bias_starts_at_the_mean_score(scores_cache):
    model = build_head(SCORES, scores_cache)
    np.testing.assert_allclose(
        model.bias.numpy(), [scores_cache.labels().mean()], rtol=1e-6
    )


def test_bias_starts_at_the_class_frequencies(classes_cache, monkeypatch):
    # Classes 0 and 1, one row and three; one more of each is counted.
    monkeypatch.setattr(
        HiddenStateCache, "labels", lambda self: np.array([0, 1, 1, 1])
    )
    model = build_head(CLASSES, classes_cache)
    frequencies = keras.ops.softmax(model.bias).numpy()
    np.testing.assert_allclose(frequencies, [2 / 6, 4 / 6], rtol=1e-6)


def test_outputs_start_at_the_bias(classes_cache):
    model = build_head(CLASSES, classes_cache)
    logits = model.predict(classes_cache.as_dataset(16), verbose=0)
    expected = np.broadcast_to(model.bias.numpy(), logits.shape)
    np.testing.assert_array_equal(logits, expected)


def test_projection_has_a_rate_of_its_own(classes_cache, trained, tmp_path):
    # So low that it stays at its start, while the rest is trained.
    head = train_head(
        CLASSES, classes_cache, tmp_path, **SETTINGS, projection_rate=1e-12
    )
    model, usual = head.load_model(), TrainedHead.open(trained).load_model()
    assert np.abs(usual.projection.numpy()).max() > 1e-2
    assert np.abs(model.projection.numpy()).max() < 1e-12
    start = build_head(CLASSES, classes_cache).bias.numpy()
    assert (model.bias.numpy() != start).all()


@pytest.mark.parametrize("available", [0, 1 << 40])
def test_from_disk_and_from_memory_the_same_head(
    trained, classes_cache, tmp_path, monkeypatch, available
):
    monkeypatch.setattr(memory, "available_memory", lambda: available)
    loads = fail_at_call(monkeypatch, HiddenStateCache, "_load", 99, None)
    train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)
    assert len(loads) == (available > 0)
    assert_same_weights(trained, tmp_path)


def test_a_single_epoch_is_read_from_disk(classes_cache, tmp_path, monkeypatch):
    forbid(monkeypatch, HiddenStateCache, "_load")
    train_head(CLASSES, classes_cache, tmp_path, **{**SETTINGS, "epochs": 1})


def test_damaged_shard_is_named(classes_cache, tmp_path):
    copy = shutil.copytree(classes_cache.directory, tmp_path / "cache")
    path = copy / "hidden_states-00000.tfrecord"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CacheError, match=r"00000\.tfrecord"):
        train_head(CLASSES, HiddenStateCache(copy), tmp_path / "head")


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_number_below_one(classes_cache, tmp_path, name):
    with pytest.raises(ArgumentError, match=f"{name}: expected .* got 0"):
        train_head(CLASSES, classes_cache, tmp_path, **{**SETTINGS, name: 0})


def test_loss_that_becomes_infinite(classes_cache, tmp_path, monkeypatch):
    original = head_module._Recorder

    class LateRecorder(original):
        """Lets the first epoch pass: its state is saved."""

        def on_epoch_end(self, epoch, logs=None):
            if epoch:
                super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(head_module, "_Recorder", LateRecorder)
    with pytest.raises(DivergedError, match=r"the head.s loss is .* below 1e"):
        train_head(
            CLASSES,
            classes_cache,
            tmp_path,
            **{**SETTINGS, "learning_rate": 1e38},
        )
    assert not (tmp_path / "head.keras").exists()
    # What was saved of it does not stand in the way of a lower one.
    monkeypatch.setattr(head_module, "_Recorder", original)
    train_head(CLASSES, classes_cache, tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": "abc"}, "units: expected at least 1"),
        ({"learning_rate": -1.0}, "learning_rate: expected a number above 0"),
        ({"pooler": "foo"}, "pooler: expected one of linear, scalar_mix"),
        ({"dropout": 1.0}, "dropout: expected a number in"),
        ({"seed": -1}, "seed: expected a whole number"),
    ],
)
def test_refused_setting_leaves_no_trace(
    classes_cache, tmp_path, change, message
):
    with pytest.raises(ArgumentError, match=message):
        train_head(
            CLASSES, classes_cache, tmp_path / "head", **{**SETTINGS, **change}
        )
    assert not (tmp_path / "head").exists()


def test_cache_of_another_task(classes_cache, tmp_path):
    with pytest.raises(ArgumentError, match="is of task sst2, expected rte"):
        train_head("rte", classes_cache, tmp_path / "head", **SETTINGS)
    with pytest.raises(ArgumentError, match="expected a HiddenStateCache, got"):
        train_head("sst2", classes_cache.directory, tmp_path / "head")
    with pytest.raises(ArgumentError, match="task: expected a name or"):
        train_head(2, classes_cache, tmp_path / "head")
    assert not (tmp_path / "head").exists()


def test_directory_without_a_head(tmp_path):
    with pytest.raises(DataError, match=r"it has no head\.json"):
        TrainedHead.open(tmp_path)
