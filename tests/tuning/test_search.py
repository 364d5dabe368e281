"""Whole searches: report, table, plots, best head; workers; the command."""

import csv
import dataclasses
import os
import pathlib
import shutil
import signal
import time

import numpy as np
import pytest

from bvkeras import fileio, tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cli import main as cli
from bvkeras.cli import tune as command
from bvkeras.errors import ArgumentError, CacheError, DivergedError, RunError
from bvkeras.training.head import TrainedHead
from bvkeras.tuning import head_search, workers
from bvkeras.tuning.head_search import HeadSearch, tune_head
from bvkeras.tuning.spaces import Choice, HeadSpace, Range
from tests.cache.made_caches import make_cache
from tests.fresh_process import FreshProcess
from tests.tiny_runs import fail_at_call

_ROOT = pathlib.Path(__file__).parents[2]
_WAIT_SECONDS = 240
_SPACE = HeadSpace(
    units=Choice((2, 3)),
    learning_rate=Range(1e-3, 3e-2, log=True),
    dropout=0.0,
    weight_decay=0.1,
    batch_size=8,
    epochs=2,
    # The task's own, which is what the command takes.
    token_pooling="mean",
)
_COMMAND = (
    *("--set", "units=2,3", "--set", "learning_rate=1e-3:3e-2:log"),
    *("--set", "dropout=0.0", "--set", "weight_decay=0.1"),
    *("--set", "batch_size=8", "--set", "epochs=2"),
    *("--finalists", "0"),
)
_FINAL = {"finalists": 1, "finalist_seeds": 1}


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Made-up caches of scores: a training split and another one."""
    directory = tmp_path_factory.mktemp("caches")
    lengths = np.random.default_rng(1).integers(2, 17, 40).tolist()
    for split in ("train", "validation"):
        make_cache(directory / split, lengths=lengths, regression=True)
    _change_identity(directory / "validation", split="validation")
    return [
        HiddenStateCache(directory / split) for split in ("train", "validation")
    ]


@pytest.fixture(scope="module")
def found(caches, tmp_path_factory):
    """A finished search of five trials; do not change it."""
    directory = tmp_path_factory.mktemp("found")
    train, validation = caches
    result = tune_head(
        "stsb",
        train,
        directory,
        trials=5,
        space=_SPACE,
        evaluation_caches=[validation],
        **_FINAL,
    )
    return directory, result


def _change_identity(directory, **changes):
    """Makes a cache one that was made from something else."""
    path = directory / "manifest.json"
    manifest = fileio.read_json(path)
    manifest["identity"] |= changes
    del manifest["digest"]
    fileio.write_json(
        path, {**manifest, "digest": fileio.value_digest(manifest)}
    )


def _rows(directory):
    with open(directory / "trials.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_best_head_is_trained_on_all_rows_and_scored_once(found, caches):
    _, result = found
    head = TrainedHead.open(result.head.directory)
    assert head.cache_identity == caches[0].manifest.identity
    record = fileio.read_json(head.directory / "head.json")["settings"]
    for name in ("units", "learning_rate", "weight_decay", "seed"):
        assert record[name] == getattr(result.winner.settings, name)
    assert result.best.score == max(t.score for t in result.trials)
    assert list(result.scores) == ["validation"]
    assert list(result.scores["validation"]) == ["pearson", "spearman"]


def test_table_has_every_trial(found):
    directory, result = found
    rows = _rows(directory)
    assert [row["trial"] for row in rows] == list("01234")
    for row, trial in zip(rows, result.trials, strict=True):
        assert float(row["score"]) == pytest.approx(trial.score, rel=1e-6)
        assert int(row["units"]) == trial.settings["units"]
        assert row["epochs_trained"] == "2"


def test_report_says_how_the_winner_was_chosen(found):
    directory, result = found
    text = result.report_path.read_text(encoding="utf-8")
    assert "By pearson on 8 of the 40 training rows" in text
    assert "So the best 1 trials and the settings" in text
    for name in ("the task's default settings", "the paper's settings"):
        assert text.count(f"| {name} |") == 1
    assert "which the search never saw" in text
    score = result.scores["validation"]["pearson"]
    assert f"pearson {score:.4f}" in text
    record = fileio.read_json(directory / "report.json")
    assert record["best"]["held_out_score"] == result.best.score
    means = {one["name"]: one["mean"] for one in record["finalists"]}
    assert set(means) == {"default", "paper", result.best.trial}
    assert means[result.winner.name] == max(means.values())
    for name in record["files"].values():
        assert (directory / name).exists()
    assert len(list((directory / "plots").glob("*.png"))) == 3


def test_same_call_again_changes_nothing(found, caches, monkeypatch):
    directory, result = found
    fail_at_call(
        monkeypatch,
        head_search.StackedTuner,
        "_run_wave",
        1,
        AssertionError("trained again"),
    )
    again = tune_head(
        "stsb",
        caches[0],
        directory,
        trials=5,
        space=_SPACE,
        evaluation_caches=[caches[1]],
        **_FINAL,
    )
    assert again.finalists == result.finalists
    assert again.trials == result.trials
    assert again.scores == result.scores


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "made with seed = 0, not 1"),
        ({"held_out": 0.5}, "made with held_out"),
        ({"space": HeadSpace()}, r"made with space\.units"),
        ({"oracle": "grid"}, "made with oracle"),
    ],
)
def test_another_search_in_the_same_directory(found, caches, change, message):
    arguments = {"trials": 5, "space": _SPACE} | change
    with pytest.raises(RunError, match=message):
        tune_head("stsb", caches[0], found[0], **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": 0}, "trials: expected at least 1"),
        ({"workers": 0}, "workers: expected at least 1"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"held_out": 1.0}, "held_out: expected"),
        ({"patience": 0}, "patience: expected at least 1"),
        ({"finalists": -1}, "finalists: expected at least 0, .* got -1"),
        ({"finalist_seeds": 0}, "finalist_seeds: expected at least 1"),
        ({"oracle": "best"}, "oracle: expected one of"),
        (
            {"oracle": "hyperband", "space": HeadSpace(epochs=Choice((1, 2)))},
            "epochs: expected one number",
        ),
        ({"dtype": "float8"}, "dtype: expected one of"),
        (
            {"space": HeadSpace(layers=Choice(("0", "1+9")))},
            r"layers: expected numbers from 0 to 2 of .*, got '1\+9'",
        ),
    ],
)
def test_arguments_out_of_range(caches, tmp_path, change, message):
    directory = tmp_path / "search"
    with pytest.raises(ArgumentError, match=message):
        tune_head("stsb", caches[0], directory, **change)
    assert not directory.exists()


def test_evaluation_cache_of_another_encoder(caches, tmp_path):
    other = shutil.copytree(caches[1].directory, tmp_path / "other")
    _change_identity(other, encoder="f" * 64)
    with pytest.raises(CacheError, match="was made with encoder = "):
        tune_head(
            "stsb",
            caches[0],
            tmp_path / "search",
            evaluation_caches=[HiddenStateCache(other)],
        )
    assert not (tmp_path / "search").exists()


def test_rate_that_diverges_leaves_the_directory_free(caches, tmp_path):
    high = dataclasses.replace(_SPACE, learning_rate=1e38)
    settings = {"trials": 2, "finalists": 0}
    with pytest.raises(DivergedError, match="all of 2 trials diverged"):
        tune_head("stsb", caches[0], tmp_path, space=high, **settings)
    lower = dataclasses.replace(_SPACE, learning_rate=1e-3)
    found = tune_head("stsb", caches[0], tmp_path, space=lower, **settings)
    assert len(found.trials) == 2


@pytest.mark.parametrize(
    "oracle",
    [pytest.param("random", marks=pytest.mark.full), "bayesian", "grid"],
)
def test_space_with_fewer_settings_than_trials(
    caches, tmp_path, oracle, capsys
):
    space = dataclasses.replace(
        _SPACE,
        units=Choice((2, 3, 4)),
        learning_rate=1e-3,
        projection_rate=1.0,
        seed=0,
        epochs=1,
    )
    found = tune_head(
        "stsb",
        caches[0],
        tmp_path,
        trials=12,
        space=space,
        oracle=oracle,
        finalists=0,
    )
    assert sorted(t.settings["units"] for t in found.trials) == [2, 3, 4]
    assert "the space has 3 different settings" in capsys.readouterr().err


def test_cache_of_another_task(caches, tmp_path):
    with pytest.raises(ArgumentError, match="is of task stsb, expected rte"):
        tune_head("rte", caches[0], tmp_path)


def test_fewer_layers_are_cut_out_of_the_caches(caches, tmp_path):
    result = tune_head(
        "stsb",
        caches[0],
        tmp_path,
        trials=1,
        space=_SPACE.replaced({"layers": "0+2"}),
        finalists=0,
        evaluation_caches=[caches[1]],
    )
    assert result.head.cache_identity["layers"] == [0, 2]
    assert result.head.load_model().num_layers == 2
    assert "pearson" in result.scores["validation"]


def test_command_comes_to_the_same(found, caches, tmp_path, capsys):
    arguments = [
        *("tune", "stsb", "--cache", str(caches[0].directory)),
        *("--evaluation-cache", str(caches[1].directory)),
        *("--output-dir", str(tmp_path), "--trials", "5", *_COMMAND),
    ]
    assert cli.main(arguments) == 0
    assert "| trial | pearson | units |" in capsys.readouterr().out
    assert _rows(tmp_path) == _rows(found[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("units", "--set: expected NAME=VALUES, got 'units'"),
        ("width=3", "width: no such setting, expected one of units"),
        ("seed=1:2:3", "--set: expected LOW:HIGH or LOW:HIGH:log"),
        ("units=8,abc", "units: expected at least 1, a whole number, got"),
        ("pooler=foo", "pooler: expected one of linear, scalar_mix, weighted"),
        ("seed=2:1", "low, high: expected finite numbers in that order"),
    ],
)
def test_settings_that_cannot_be_read(caches, tmp_path, capsys, given, message):
    arguments = [
        *("tune", "stsb", "--cache", str(caches[0].directory)),
        *("--output-dir", str(tmp_path / "out"), "--set", given),
    ]
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "tune stsb --encoder here --output-dir out --finalists 2",
            "--finalists: expected with --cache only",
        ),
        (
            "run stsb --finalist-seeds 2",
            "--finalist-seeds: expected with --tune",
        ),
    ],
)
def test_final_round_of_nothing(capsys, arguments, message):
    assert cli.main(arguments.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_recipe_tunes_on_its_last_encoder(tmp_path, monkeypatch):
    (tmp_path / "settings.json").write_text('{"epochs": [0.5, 2.0]}')
    given = []
    monkeypatch.setattr(command, "run", given.append)
    command.tune_run(tasks.get("mnli"), tmp_path, 7, finalists=2)
    (options,) = given
    caches = tmp_path / "cache" / "epoch_2"
    assert (options.task, options.trials) == (tasks.get("mnli"), 7)
    assert command.finalist_settings(options) == {"finalists": 2}
    assert options.cache == caches / "train"
    assert options.evaluation_cache == [
        caches / "validation_matched",
        caches / "validation_mismatched",
    ]
    assert options.output_dir == tmp_path / "tuning"


def _start(caches, directory, trials, *options):
    return FreshProcess(
        *("-m", "bvkeras", "tune", "stsb"),
        *("--cache", caches[0].directory, *_COMMAND),
        *("--output-dir", directory, "--trials", trials),
        *options,
        cwd=_ROOT,
        stdout=False,
    )


def _wait_for(condition, process):
    until = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)


def _children(process):
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()]


def _assert_exactly(directory, found, trials):
    """All trials asked for, none twice, with the scores of one process."""
    rows, expected = _rows(directory), _rows(found[0])
    assert [row["trial"] for row in rows] == [str(i) for i in range(trials)]
    for own, row in zip(rows, expected, strict=True):
        assert float(own["score"]) == pytest.approx(
            float(row["score"]), abs=1e-4
        )
        assert own["seed"] == row["seed"]


@pytest.mark.full
@pytest.mark.skipif(
    not os.path.exists("/proc/self/task"), reason="needs Linux's /proc"
)
def test_killed_worker_and_killed_chief(found, caches, tmp_path):
    chief = _start(caches, tmp_path, 5, "--workers", "2")
    try:
        trials = tmp_path / "trials"
        _wait_for(lambda: list(trials.glob("trial_*/trial.json")), chief)
        processes = _children(chief)
        assert len(processes) == 2
        os.kill(processes[0], signal.SIGKILL)
        _wait_for(lambda: processes[0] not in _children(chief), chief)
        chief.send_signal(signal.SIGKILL)
        chief.wait()
        # Workers do not outlive who started them.
        until = time.monotonic() + _WAIT_SECONDS
        while any(map(_is_alive, processes)):
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        chief.kill()
    # Whoever goes on: here one process.
    again = _start(caches, tmp_path, 5)
    _, errors = again.communicate(timeout=_WAIT_SECONDS)
    assert again.returncode == 0, errors
    _assert_exactly(tmp_path, found, 5)
    assert not list(trials.glob("wave-*"))


def _is_alive(number):
    try:
        state = pathlib.Path(f"/proc/{number}/stat").read_text().split()[2]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.full
def test_workers_that_die_again_and_again(caches, tmp_path, monkeypatch):
    search = HeadSearch(
        "stsb", str(caches[0].directory), tmp_path, 2, _SPACE, workers=1
    )
    search.write(caches[0])
    tuner = search.tuner()
    # What the workers read; what they shall run is not there.
    path = tmp_path / "settings.json"
    record = fileio.read_json(path)
    record["fixed"]["cache"] = str(tmp_path / "nowhere")
    fileio.write_json(path, record)
    monkeypatch.setattr(workers, "_RESTARTS", 0)
    bar = head_search.progress_bar("tune", 2, "trials")
    with bar as bar, pytest.raises(RunError, match="died again and again"):
        workers.run_with_workers(tuner.oracle, tmp_path, 1, bar)
    assert "nowhere" in (tmp_path / "worker0.log").read_text()
