"""The final round: who takes part, what it scores, and kills in it."""

import dataclasses

import numpy as np
import pytest

from bvkeras import fileio
from bvkeras.tuning.final_round import (
    choose_finalists,
    known_settings,
    run_final_round,
)
from bvkeras.tuning.finalist import Finalist
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.held_out import further_split, held_out_split
from bvkeras.tuning.spaces import Choice
from bvkeras.tuning.wave import Wave
from tests.tiny_runs import fail_at_call, forbid
from tests.tuning.made_searches import CLASSES, SPACE, drawn, made_hypermodel

_TRAININGS = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    space = dataclasses.replace(SPACE, batch_size=Choice((8, 16)))
    return made_hypermodel(tmp_path_factory.mktemp("cache"), CLASSES, space)


@pytest.fixture(scope="module")
def finalists(model):
    """Two trials that cannot share batches."""
    return [
        Finalist(str(size), model.settings(drawn(model, 1, batch_size=size)[0]))
        for size in (8, 16)
    ]


@pytest.fixture(scope="module")
def finished(model, finalists, tmp_path_factory):
    """A final round nothing happened to; do not change it."""
    directory = tmp_path_factory.mktemp("final")
    return directory, run_final_round(model, finalists, _TRAININGS, directory)


def test_scores_are_those_of_the_heads_alone(model, finished):
    directory, ranked = finished
    record = fileio.read_json(directory / "scores.json")
    assert len(record) == _TRAININGS * len(ranked)
    names = {field.name for field in dataclasses.fields(model.space)}
    # One head of each part, with other batches.
    for entry in (record[0], record[-1]):
        values = {n: v for n, v in entry["settings"].items() if n in names}
        part = model.on_part(entry["part"])
        # KerasTuner puts another value for one outside of its space.
        part.space = part.space.replaced({"seed": values["seed"]})
        (hp,) = drawn(part, 1, **(values | {"layers": "all"}))
        alone = part.fit(hp, part.build(hp))
        assert alone[model.objective.name] == pytest.approx(entry["score"])
    assert [one.mean for one in ranked] == sorted(
        (one.mean for one in ranked), reverse=True
    )
    assert {path.name for path in directory.iterdir()} == {"scores.json"}


def test_seeds_and_rows_are_the_same_for_all(finished):
    directory, _ = finished
    seeds = {}
    for entry in fileio.read_json(directory / "scores.json"):
        seeds.setdefault(entry["part"], set()).add(entry["settings"]["seed"])
    assert [len(own) for own in seeds.values()] == [1] * _TRAININGS
    assert len(set.union(*seeds.values())) == _TRAININGS
    assert min(set.union(*seeds.values())) > SPACE.seed.high


@pytest.mark.parametrize(
    ("owner", "name", "call", "left"),
    [
        # The second pass of the third of four waves.
        (Wave, "_train_pass", 6, 2),
        pytest.param(Wave, "_train_pass", 1, 4, marks=pytest.mark.full),
        pytest.param(fileio, "write_json", 2, 3, marks=pytest.mark.full),
        pytest.param(Wave, "forget", 1, 3, marks=pytest.mark.full),
    ],
)
def test_stopped_anywhere_it_comes_to_the_same(
    model, finalists, finished, tmp_path, monkeypatch, owner, name, call, left
):
    with monkeypatch.context() as patch:
        fail_at_call(patch, owner, name, call, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            run_final_round(model, finalists, _TRAININGS, tmp_path)
    waves = fail_at_call(monkeypatch, Wave, "run", 99, None)
    found = run_final_round(model, finalists, _TRAININGS, tmp_path)
    assert found == finished[1]
    assert len(waves) == left
    assert {path.name for path in tmp_path.iterdir()} == {"scores.json"}


@pytest.mark.full
def test_more_trainings_go_on_with_those_there_are(
    model, finalists, finished, tmp_path, monkeypatch
):
    one = run_final_round(model, finalists, 1, tmp_path)
    waves = fail_at_call(monkeypatch, Wave, "run", 99, None)
    assert run_final_round(model, finalists, 2, tmp_path) == finished[1]
    assert len(waves) == 2
    forbid(monkeypatch, Wave, "run")
    assert run_final_round(model, finalists, 1, tmp_path) == one


def test_finalists_are_the_known_and_the_best_that_differ():
    own, paper = CLASSES.small_settings.head, CLASSES.paper_settings.head
    known = known_settings(own, paper)
    assert [name for name, _ in known] == ["default", "paper"]
    assert [name for name, _ in known_settings(paper, paper)] == ["default"]
    default = known[0][1]
    settings = [
        dataclasses.replace(default, seed=3),
        dataclasses.replace(default, units=2, seed=4),
        dataclasses.replace(default, units=2, seed=5),
        dataclasses.replace(default, units=3),
        dataclasses.replace(default, units=4),
    ]
    ranked = list(zip("01234", settings, strict=True))
    chosen = choose_finalists(known, ranked, 2)
    assert [one.name for one in chosen] == ["default", "paper", "1", "3"]
    assert chosen[2].settings.seed == 4
    assert len(choose_finalists(known, ranked, 9)) == 5


@pytest.mark.full
def test_of_equal_means_the_first_wins(model, finalists, tmp_path):
    twins = [
        dataclasses.replace(finalists[0], name=name)
        for name in ("default", "7")
    ]
    ranked = run_final_round(model, twins, 1, tmp_path)
    assert [one.name for one in ranked] == ["default", "7"]


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.7])
def test_parts_are_not_what_chose_the_trials(fraction):
    chose = held_out_split(41, fraction)[1]
    parts = [further_split(41, fraction, part) for part in range(5)]
    for rows, held_out in parts:
        assert sorted([*rows, *held_out]) == list(range(41))
        assert not np.intersect1d(held_out, chose).size
    if fraction == 0.2:
        together = np.concatenate([held_out for _, held_out in parts[:4]])
        assert len(set(together)) == len(together) == 4 * len(chose)
        np.testing.assert_array_equal(parts[4][1], parts[0][1])


def test_no_patience_in_the_final_round(model):
    patient = HeadHyperModel(CLASSES, model.cache, patience=1)
    assert patient.on_part(0).patience is None
