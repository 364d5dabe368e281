"""A run on a table of one's own that is stopped at each step ends the same."""

import json

import numpy as np
import pytest

from bvkeras.cli import main as cli
from bvkeras.training.finetune import Snapshot
from bvkeras.training.head import TrainedHead
from tests.faults.killed_process import kill_before
from tests.faults.paused_run import before_call, small_shards
from tests.pipeline.fast_run import short_report

# Where a process is killed; each takes up what the one before left.
_KILLS = (
    # While the snapshot is written.
    ("safetensors.numpy:save_file", 1),
    # The snapshot is there, and no task.json; then no settings.json.
    ("bvkeras.fileio:write_json", 3),
    ("bvkeras.fileio:write_json", 2),
    # Before the encoder's predictions.
    ("bvkeras.evaluation.text_kinds:write_predictions", 1),
    # Before the second shard of the first cache.
    ("bvkeras.cache.writer:write_shard", 2),
    # While the state after the head's second epoch is written.
    ("safetensors.numpy:save_file", 2),
    ("bvkeras.pipeline.steps.regression_row:train_regression", 1),
    ("bvkeras.reports.report:write_text", 1),
)
# As above, fewer, stopped by an exception and in this process.
_STOPS = (
    ("bvkeras.fileio:write_json", 3),
    ("bvkeras.cache.writer:write_shard", 2),
    ("bvkeras.pipeline.steps.regression_row:train_regression", 1),
    ("bvkeras.reports.report:write_text", 1),
)


class _Stop(BaseException):
    """Nothing catches it."""


@pytest.fixture(scope="module")
def command(tiny_bert, tmp_path_factory):
    """Gives the command that writes into a folder."""
    table = tmp_path_factory.mktemp("table") / "topics.csv"
    words = ("7 7", "z z", "a q")
    rows = [
        f'"{words[i % 3]} {"b c " * (i % 4)}\n😀 {i}",topic {i % 3}\n'
        for i in range(36)
    ]
    table.write_text("text,label\n" + "".join(rows), "utf-8")

    def command(output_dir):
        return [
            *("run", "--train", str(table), "--held-out", "0.25"),
            *("--backbone", str(tiny_bert), "--no-frozen", "--epochs", "1"),
            *("--batch-size", "8", "--learning-rate", "1e-3", "--units", "4"),
            *("--head-epochs", "3", "--cache-dtype", "float32"),
            *("--output-dir", str(output_dir)),
        ]

    return command


@pytest.fixture(scope="module")
def run(command):
    def run(output_dir):
        with small_shards(), short_report():
            assert cli.main(command(output_dir)) == 0

    return run


@pytest.fixture(scope="module")
def uninterrupted(run, tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("uninterrupted")
    run(output_dir)
    return output_dir


@pytest.mark.full
def test_stopped_run_comes_to_the_same(run, uninterrupted, tmp_path):
    for target, call in _STOPS:
        with pytest.raises(_Stop), before_call(target, call, _stop):
            run(tmp_path)
    run(tmp_path)
    _assert_same(tmp_path, uninterrupted)


# Killed processes of other tasks are in the short set.
@pytest.mark.full
def test_killed_run_comes_to_the_same(command, run, uninterrupted, tmp_path):
    output_dir = tmp_path / "run"
    for number, (target, call) in enumerate(_KILLS):
        reached = tmp_path / f"reached {number}"
        kill_before(target, call, reached, command(output_dir))
    run(output_dir)
    _assert_same(output_dir, uninterrupted)


def _stop():
    raise _Stop


def _assert_same(found, expected):
    """Same files; same task, settings, predictions, scores and weights."""
    assert _names(found) == _names(expected)
    for name in ("task.json", "settings.json"):
        assert (found / name).read_bytes() == (expected / name).read_bytes()
    predictions = sorted(expected.rglob("validation.tsv"))
    assert len(predictions) > 2
    for path in predictions:
        other = found / path.relative_to(expected)
        assert other.read_bytes() == path.read_bytes(), other
    assert _scores(found) == _scores(expected)
    for first, second in zip(_weights(found), _weights(expected), strict=True):
        np.testing.assert_array_equal(first, second)


def _names(directory):
    names = (
        path.relative_to(directory).as_posix() for path in directory.rglob("*")
    )
    # Only the killed processes drew pictures.
    return sorted(name for name in names if not name.startswith("plots"))


def _scores(directory):
    report = json.loads((directory / "report.json").read_text("utf-8"))
    return {
        system["name"]: system["scores"] for system in report["systems"]
    }, report["notes"]


def _weights(directory):
    _, model = Snapshot.open(directory / "finetune" / "epoch_1").load_model()
    head = TrainedHead.open(directory / "head" / "epoch_1").load_model()
    return [*model.get_weights(), *head.get_weights()]
