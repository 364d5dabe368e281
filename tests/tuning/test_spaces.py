"""What a search may choose from, and how it is written down."""

import dataclasses
import json

import keras_tuner
import numpy as np
import pytest

from bvkeras.cli.tune import given_settings
from bvkeras.errors import ArgumentError
from bvkeras.tuning.head_hypermodel import out_of_patience
from bvkeras.tuning.held_out import (
    held_out_score,
    held_out_split,
    objective,
)
from bvkeras.tuning.layer_names import parsed_layers
from bvkeras.tuning.oracles import trials_at_once
from bvkeras.tuning.result import TrialResult, best_results
from bvkeras.tuning.spaces import (
    Choice,
    EncoderSpace,
    HeadSpace,
    Range,
    paper_encoder,
    paper_head,
)
from tests.tiny_runs import CLASSES, SCORES


def _drawn(space, count=200):
    """Values of each setting in some trials."""
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    return {
        entry.name: [entry.random_sample(seed) for seed in range(count)]
        for entry in hp.space
    }


def test_the_papers_space_of_heads():
    drawn = _drawn(paper_head())
    assert set(drawn["units"]) == {8, 16, 32, 64, 128, 256}
    rates = np.array(drawn["learning_rate"])
    assert 1e-6 <= rates.min() < 2e-5
    assert 9.8e-4 < rates.max() <= 1e-3
    assert abs(rates.mean() - 5e-4) < 5e-5
    assert len(set(drawn["seed"])) > 150
    for name in ("dropout", "projection_rate", "pooler", "epochs"):
        assert len(set(drawn[name])) == 1


def test_the_papers_space_of_encoders():
    drawn = _drawn(paper_encoder())
    assert max(drawn["learning_rate"]) <= 3e-5
    assert len(set(drawn["seed"])) > 150
    assert set(drawn["warmup_fraction"]) == {0.1}


def test_logarithm_is_uniform():
    rates = np.log10(_drawn(HeadSpace())["learning_rate"])
    assert -6 <= rates.min() < -5.8
    assert abs(rates.mean() + 4) < 0.3
    assert -2.2 < rates.max() <= -2


@pytest.mark.parametrize("space", [HeadSpace(), EncoderSpace(), paper_head()])
def test_as_json_and_back(space):
    record = json.loads(json.dumps(space.as_json()))
    assert type(space).from_json(record) == space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("units=8", 8),
        ("units=8,16", Choice((8, 16))),
        ("dropout=0.1,0.5", Choice((0.1, 0.5))),
        ("seed=1:9", Range(1, 9)),
        ("learning_rate=1e-5:1e-2:log", Range(1e-5, 1e-2, log=True)),
        ("layers=all,0+2", Choice(("all", "0+2"))),
    ],
)
def test_settings_of_the_command_line(text, expected):
    assert given_settings([text]) == {text.partition("=")[0]: expected}


def test_layers():
    assert parsed_layers("all") is None
    assert parsed_layers("3+0") == (0, 3)
    with pytest.raises(ArgumentError, match="layers: expected numbers"):
        parsed_layers("some")


def test_a_split_is_the_same_for_all_and_loses_nothing():
    train, held_out = held_out_split(50, 0.2)
    assert len(held_out) == 10
    assert sorted([*train, *held_out]) == list(range(50))
    np.testing.assert_array_equal(held_out_split(50, 0.2)[1], held_out)


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.01, float("nan")])
def test_a_split_without_a_row(fraction):
    with pytest.raises(ArgumentError, match="held_out: expected"):
        held_out_split(10, fraction)


def test_scores():
    logits = np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    assert held_out_score(CLASSES, logits, np.array([1, 0, 0])) == (
        pytest.approx(2 / 3)
    )
    numbers = np.array([[1.0], [2.0], [4.0]])
    labels = np.array([2.0, 4.0, 8.0], np.float32)
    assert held_out_score(SCORES, numbers, labels) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("metric", "worst"),
    [
        ("accuracy", 0.0),
        # A healthy head can have one below zero.
        ("matthews", -1.0),
        ("pearson", -1.0),
        ("mae", 1e6),
        ("rmse", 1e6),
    ],
)
def test_diverged_ranks_behind_the_worst(metric, worst):
    task = dataclasses.replace(SCORES, metrics=(metric,))
    outputs = np.array([[1.0], [np.nan]])
    diverged = held_out_score(task, outputs, np.ones(2, np.float32))
    assert np.isfinite(diverged)
    results = [
        TrialResult(name, score, 0.1, 1.0, {})
        for name, score in (("diverged", diverged), ("worst", worst))
    ]
    assert [one.trial for one in best_results(results, metric)] == [
        "worst",
        "diverged",
    ]
    assert objective(task).direction == ("min" if worst > 1 else "max")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": Choice((8, "abc"))}, "units: expected at least 1.*'abc'"),
        ({"units": Range(0.5, 8.0)}, "units: expected at least 1.*0.5"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
        ({"dropout": Choice((0.1, 1.0))}, r"dropout: .* in \[0, 1\), got 1.0"),
        ({"pooler": "foo"}, "pooler: expected one of linear, scalar_mix"),
        ({"token_pooling": "max"}, "token_pooling: expected one of flatten"),
        ({"layers": Choice(("0", "0+x"))}, "layers: expected numbers such as"),
        ({"projection_initializer": 1}, "projection_initializer: expected"),
        ({"seed": Range(-1, 3)}, "seed: expected a whole number from 0"),
    ],
)
def test_head_settings_that_cannot_be(settings, message):
    with pytest.raises(ArgumentError, match=message):
        HeadSpace().replaced(settings)


def test_encoder_settings_that_cannot_be():
    for name, value in (
        ("warmup_fraction", 2),
        ("epochs", 0),
        ("batch_size", 1.5),
    ):
        with pytest.raises(ArgumentError, match=f"{name}: expected"):
            EncoderSpace().replaced({name: value})


def test_size_of_a_space():
    space = HeadSpace(
        units=Choice((2, 3)),
        learning_rate=1e-3,
        projection_rate=1.0,
        dropout=Choice((0, 0.5)),
        weight_decay=0.0,
        seed=Range(0, 9),
    )
    assert space.dropout.values == (0.0, 0.5)
    assert space.size == 2 * 2 * 10
    assert HeadSpace().size == np.inf


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        ([0.5, 0.5], None, False),
        ([0.5], 1, False),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.6], 1, False),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.5], 2, True),
    ],
)
def test_patience(scores, patience, expected):
    assert out_of_patience(scores, patience) is expected


def test_every_worker_gets_some_twice():
    assert trials_at_once("random", 100, 1) == 100
    assert trials_at_once("random", 100, 4) == 13
    assert trials_at_once("random", 1, 4) == 1
    assert trials_at_once("bayesian", 100, 2) == 10


@pytest.mark.parametrize("log", [False, True])
def test_range_out_of_order(log):
    with pytest.raises(ArgumentError, match="low, high: expected"):
        Range(0.0 if log else 2.0, 1.0, log=log)


def test_choice_of_nothing():
    with pytest.raises(ArgumentError, match="values: expected at least one"):
        Choice(())
