"""Waves of trials: with every oracle, after kills, with damaged files."""

import dataclasses
import json
import pathlib
import shutil

import keras_tuner
import numpy as np
import pytest

from bvkeras.evaluation.metric_direction import diverged_score
from bvkeras.tuning import wave
from bvkeras.tuning.durable_oracle import DurableOracle
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.spaces import Choice
from bvkeras.tuning.stacked_tuner import StackedTuner
from bvkeras.tuning.wave import Wave
from tests.tiny_runs import fail_at_call, forbid
from tests.tuning.made_searches import (
    CLASSES,
    SCORES,
    SPACE,
    drawn,
    made_cache,
    made_hypermodel,
    random_oracle,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return made_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model(cache):
    return HeadHyperModel(CLASSES, cache, SPACE)


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory):
    """A search of six trials nothing happened to; do not change it."""
    directory = tmp_path_factory.mktemp("finished")
    tuner = StackedTuner(model, random_oracle(model, 6), directory)
    tuner.search()
    return tuner


def _scores(tuner):
    return {
        name: (trial.status, trial.score, trial.hyperparameters.values)
        for name, trial in tuner.oracle.trials.items()
    }


def test_scores_are_those_of_the_heads_alone(finished, model):
    # The first of both widths, with dropout and without.
    trials = {}
    for trial in finished.oracle.trials.values():
        values = trial.hyperparameters.values
        for name in ("units", "dropout"):
            trials.setdefault((name, values[name]), trial)
    assert len(trials) == 4
    for trial in {id(trial): trial for trial in trials.values()}.values():
        hp = trial.hyperparameters
        alone = model.fit(hp, model.build(hp))
        assert alone[model.objective.name] == pytest.approx(trial.score)
        loss = trial.metrics.get_best_value("loss")
        assert alone["loss"] == pytest.approx(loss, rel=1e-4)


def test_same_scores_as_the_stock_tuner(finished, model, tmp_path):
    tuner = keras_tuner.RandomSearch(
        model,
        objective=model.objective,
        max_trials=1,
        seed=1,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    for number, trial in enumerate(tuner.oracle.trials.values()):
        ours = finished.oracle.trials[str(number)]
        assert trial.hyperparameters.values == ours.hyperparameters.values
        assert trial.score == pytest.approx(ours.score)


def test_only_the_best_keep_their_weights(finished, model):
    kept = [t.trial_id for t in finished.oracle.get_best_trials(3)]
    files = finished.project_dir
    paths = pathlib.Path(files).glob("trial_*/*.weights.h5")
    assert {p.parent.name for p in paths} == {f"trial_{name}" for name in kept}
    best = finished.oracle.get_best_trials(1)[0]
    (head,) = finished.get_best_models(1)
    _, held_out = model.parts(None)
    assert model._score(head, held_out) == pytest.approx(best.score)


def test_trial_is_scored_without_dropout(tmp_path):
    space = dataclasses.replace(
        SPACE,
        dropout=Choice((0.9,)),
        projection_initializer=Choice(("glorot_uniform",)),
    )
    model = made_hypermodel(tmp_path, SCORES, space)
    (hp,) = drawn(model, 1)
    head = model.build(hp)
    _, held_out = model.parts(None)
    outputs, labels = [], []
    # A correlation, which no two random heads share.
    for inputs, batch_labels in model.scored_batches(held_out):
        outputs += head(inputs, training=False).numpy()[:, 0].tolist()
        labels += batch_labels.numpy().tolist()
    expected = np.corrcoef(outputs, labels)[0, 1]
    assert model._score(head, held_out) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("oracle", "settings", "expected"),
    [
        pytest.param(
            *("BayesianOptimizationOracle", {"num_initial_points": 3}, 5),
            marks=pytest.mark.full,
        ),
        pytest.param("GridSearchOracle", {}, 5, marks=pytest.mark.full),
        ("HyperbandOracle", {"max_epochs": 3}, 6),
    ],
)
def test_every_oracle(model, tmp_path, oracle, settings, expected):
    if oracle != "HyperbandOracle":
        settings = {"max_trials": 5, **settings}
    made = getattr(keras_tuner.oracles, oracle)(
        model.objective, seed=1, **settings
    )
    tuner = StackedTuner(model, made, tmp_path, trials_at_once=4)
    tuner.search()
    trials = tuner.oracle.trials.values()
    assert len(trials) == expected
    assert {trial.status for trial in trials} == {"COMPLETED"}
    if oracle == "HyperbandOracle":
        later = [
            t for t in trials if t.hyperparameters.values["tuner/round"] == 1
        ]
        assert later
        assert {t.metrics.get_best_value("epochs") for t in later} == {3.0}


@pytest.mark.full
def test_batch_sizes_and_layers_make_waves_of_their_own(cache, tmp_path):
    space = dataclasses.replace(
        SPACE,
        batch_size=Choice((8, 16)),
        layers=Choice(("all", "0+2")),
        epochs=Choice((1, 2)),
    )
    model = HeadHyperModel(CLASSES, cache, space)
    tuner = StackedTuner(model, random_oracle(model, 8), tmp_path)
    tuner.search()
    kinds = set()
    for trial in tuner.oracle.trials.values():
        hp = trial.hyperparameters
        kinds.add((hp.values["batch_size"], hp.values["layers"]))
        alone = model.fit(hp, model.build(hp))
        assert alone[model.objective.name] == pytest.approx(trial.score)
        assert alone["epochs"] == trial.metrics.get_best_value("epochs")
    assert len(kinds) > 2


def test_patience_ends_a_trial_as_it_does_alone(cache, tmp_path):
    space = dataclasses.replace(SPACE, epochs=6)
    model = HeadHyperModel(CLASSES, cache, space, patience=1)
    tuner = StackedTuner(model, random_oracle(model, 3), tmp_path)
    tuner.search()
    epochs = set()
    for trial in tuner.oracle.trials.values():
        hp = trial.hyperparameters
        alone = model.fit(hp, model.build(hp))
        assert alone[model.objective.name] == pytest.approx(trial.score)
        assert alone["epochs"] == trial.metrics.get_best_value("epochs")
        epochs.add(alone["epochs"])
    assert min(epochs) < 6


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (wave, "save_state", 1),
        (DurableOracle, "save", 3),
        *(
            pytest.param(*point, marks=pytest.mark.full)
            for point in (
                (StackedTuner, "_ask", 1),
                (StackedTuner, "_run_wave", 1),
                (StackedTuner, "_save_weights", 1),
                (keras_tuner.oracles.RandomSearchOracle, "end_trial", 2),
            )
        ),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_stopped_anywhere_it_comes_to_the_same_trials(
    model, finished, tmp_path, monkeypatch, owner, name, call
):
    with monkeypatch.context() as patch:
        fail_at_call(patch, owner, name, call, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            StackedTuner(model, random_oracle(model, 6), tmp_path).search()
    tuner = StackedTuner(model, random_oracle(model, 6), tmp_path)
    tuner.search()
    found, expected = _scores(tuner), _scores(finished)
    assert found.keys() == expected.keys()
    for number, own in found.items():
        assert own[0] == "COMPLETED"
        assert own[1] == pytest.approx(expected[number][1])
        assert own[2] == expected[number][2]
    assert not list(tmp_path.glob("trials/wave-*"))
    assert sorted(tuner.oracle.end_order) == sorted(found)


def test_wave_goes_on_behind_its_last_pass(
    model, finished, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        fail_at_call(patch, HeadHyperModel, "batches", 3, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            StackedTuner(model, random_oracle(model, 6), tmp_path).search()
    assert len(list(tmp_path.glob("trials/wave-*"))) == 1
    tuner = StackedTuner(model, random_oracle(model, 6), tmp_path)
    passes, train_pass = [], Wave._train_pass
    monkeypatch.setattr(
        Wave,
        "_train_pass",
        lambda self, epoch: (passes.append(epoch), train_pass(self, epoch))[1],
    )
    tuner.search()
    assert passes == [1]
    for number, own in _scores(tuner).items():
        assert own[1] == pytest.approx(_scores(finished)[number][1])


def test_every_pass_has_an_order_of_its_own(model):
    train, _ = model.parts(None)
    orders = [
        np.concatenate(
            [labels for _, labels in model.batches(train, 8, epoch)]
        ).tolist()
        for epoch in (0, 1, 1)
    ]
    assert orders[0] != orders[1] == orders[2]


def test_head_that_has_ended_stays_so_in_a_stopped_wave(
    cache, tmp_path, monkeypatch
):
    space = dataclasses.replace(SPACE, epochs=Choice((1, 3)))
    model = HeadHyperModel(CLASSES, cache, space)
    settings = [
        model.settings(hp)
        for epochs in (1, 3)
        for hp in drawn(model, 1, epochs=epochs)
    ]
    path = tmp_path / "state.safetensors"
    live, train_pass = [], Wave._train_pass

    def noted(self, epoch):
        live.append(self.heads.live.tolist())
        if len(live) == 2:
            raise KeyboardInterrupt
        return train_pass(self, epoch)

    monkeypatch.setattr(Wave, "_train_pass", noted)
    with pytest.raises(KeyboardInterrupt):
        Wave(model, settings, path, lambda note: None).run()
    results = Wave(model, settings, path, lambda note: None).run()
    assert live == [[True, True], *[[False, True]] * 3]
    assert [result["epochs"] for result in results] == [1, 3]


def test_finished_search_trains_nothing(model, tmp_path, monkeypatch):
    StackedTuner(model, random_oracle(model, 2), tmp_path).search()
    forbid(monkeypatch, StackedTuner, "_run_wave")
    tuner = StackedTuner(model, random_oracle(model, 2), tmp_path)
    tuner.search()
    assert len(tuner.oracle.trials) == 2


def test_more_trials_go_on_with_those_there_are(model, finished, tmp_path):
    StackedTuner(model, random_oracle(model, 2), tmp_path).search()
    tuner = StackedTuner(model, random_oracle(model, 6), tmp_path)
    tuner.search()
    values = [own[2] for own in _scores(tuner).values()]
    assert values == [own[2] for own in _scores(finished).values()]


@pytest.mark.parametrize(
    ("files", "damage"),
    [
        (["trial_1/trial.json"], b""),
        *(
            pytest.param(*case, marks=pytest.mark.full)
            for case in (
                (["trial_1/trial.json"], b'{"trial_id": "1", "sc'),
                (["oracle.json"], b"\xff\xfe"),
            )
        ),
        (["trial_1/trial.json", "oracle.json"], b"[1]"),
    ],
)
def test_damaged_file_is_set_aside(
    model, finished, tmp_path, capsys, monkeypatch, files, damage
):
    before = _scores(finished)
    trials = tmp_path / "trials"
    shutil.copytree(finished.project_dir, trials)
    for name in files:
        (trials / name).write_bytes(damage)
    tuner = StackedTuner(model, random_oracle(model, 7), tmp_path)
    warnings = capsys.readouterr().err.splitlines()
    for name in files:
        line = f"{name} is damaged and set aside as"
        assert sum(line in warning for warning in warnings) == 1
        assert (trials / f"{name}.damaged").read_bytes() == damage
    tuner.search()
    found = _scores(tuner)
    # Exactly as many as asked for, and what could be read is not run again.
    assert list(found) == list("0123456")
    assert {own[0] for own in found.values()} == {"COMPLETED"}
    lost = {"1"} if len(files) == 2 else set()
    for name in before.keys() - lost:
        assert found[name] == before[name]
    assert sorted(tuner.oracle.end_order) == list(found)
    values = [json.dumps(own[2], sort_keys=True) for own in found.values()]
    assert len(set(values)) == len(values)


def test_nothing_is_unpickled(finished):
    suffixes = {
        path.suffix
        for path in pathlib.Path(finished.project_dir).rglob("*")
        if path.is_file()
    }
    assert suffixes == {".json", ".h5"}


def test_trials_that_diverge_have_the_lowest_score(cache, tmp_path):
    space = dataclasses.replace(SPACE, learning_rate=1e38)
    model = HeadHyperModel(CLASSES, cache, space)
    tuner = StackedTuner(model, random_oracle(model, 2), tmp_path)
    tuner.search()
    for trial in tuner.oracle.trials.values():
        assert trial.status == "COMPLETED"
        assert trial.score == diverged_score("accuracy")
        assert np.isfinite(trial.metrics.get_best_value("loss"))
