"""Oracles that survive: what a worker that is gone leaves behind."""

import keras_tuner
import pytest

from bvkeras.tuning.durable_oracle import DurableOracle, durable


@pytest.fixture
def oracle(tmp_path):
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Float("rate", 0.0, 1.0)
    oracle = durable(
        keras_tuner.oracles.RandomSearchOracle(
            keras_tuner.Objective("score", "max"),
            max_trials=4,
            seed=1,
            hyperparameters=hyperparameters,
        )
    )
    oracle.verbose = 0
    oracle._set_project_dir(tmp_path, "trials")
    return oracle


def _end(oracle, trial, score):
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def test_stays_what_it_was(oracle):
    assert isinstance(oracle, keras_tuner.oracles.RandomSearchOracle)
    assert isinstance(oracle, DurableOracle)
    assert durable(oracle) is oracle
    assert type(oracle).__mro__.count(DurableOracle) == 1


def test_released_trials_are_run_by_another(oracle):
    first = oracle.create_trial("worker0-000")
    oracle.create_trial("worker0-001")
    oracle.create_trial("worker1-000")
    assert oracle.release("worker0-") == 2
    _end(oracle, oracle.trials["2"], 0.5)
    again = [oracle.create_trial(f"worker1-{n}") for n in range(4)]
    assert [t.status for t in again] == [*["RUNNING"] * 3, "STOPPED"]
    assert {t.trial_id for t in again[:3]} == {"0", "1", "3"}
    values = {t.trial_id: t.hyperparameters.values for t in again}
    assert values["0"] == first.hyperparameters.values


def test_same_name_gets_its_trial_back(oracle):
    trial = oracle.create_trial("worker0-000")
    assert oracle.create_trial("worker0-000") is trial


def test_standing(oracle):
    assert oracle.standing() == (0, None)
    for number, score in enumerate((0.25, 0.75, 0.5)):
        _end(oracle, oracle.create_trial(f"worker0-{number}"), score)
    assert oracle.standing() == (3, 0.75)


def test_trial_written_before_the_oracle_was(oracle, tmp_path, monkeypatch):
    _end(oracle, oracle.create_trial("worker0-000"), 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(type(oracle), "save", lambda self: None)
        oracle.create_trial("worker0-000")
    assert len(list(tmp_path.glob("trials/trial_*/trial.json"))) == 2
    oracle.trials = {}
    oracle.reload()
    # The second is not forgotten: it would count and never be run.
    again = oracle.create_trial("worker0-000")
    assert again.trial_id == "1"
    assert len(oracle.trials) == 2
