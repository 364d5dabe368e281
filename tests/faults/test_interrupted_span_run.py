"""A SQuAD run that is killed in the middle goes on and ends the same."""

import numpy as np
import pytest

from bvkeras import pipeline
from bvkeras.training.finetune import Snapshot
from bvkeras.training.head import TrainedHead
from tests.data.squad_fixtures import write_squad
from tests.faults.killed_process import kill_before
from tests.faults.paused_run import before_call, small_shards
from tests.pipeline.fast_run import FAST, short_report

_SETTINGS = {
    **FAST,
    "epochs": (0.5, 1.0),
    "learning_rate": 1e-3,
    "cache_dtype": "float32",
}

# Where a process is killed; each takes up what the one before left.
_KILLS = (
    # While the second snapshot is written: a head and a state came before.
    ("safetensors.numpy:save_file", 3),
    # Before the second shard of the first cache.
    ("bvkeras.cache.writer:write_shard", 2),
    # While the state after the first head's second epoch is written.
    ("safetensors.numpy:save_file", 2),
)
# As above, stopped by an exception and in this process.
_STOPS = (
    ("bvkeras.training.finetune:save_state", 1),
    ("bvkeras.cache.writer:write_shard", 4),
    ("bvkeras.evaluation.spans.answers:find_spans", 1),
    ("bvkeras.pipeline.steps.report:write_report", 1),
)


class _Stop(BaseException):
    """Nothing catches it."""


@pytest.fixture(scope="module")
def squad_dir(tmp_path_factory):
    return write_squad(tmp_path_factory.mktemp("squad"))


@pytest.fixture(scope="module")
def run(tiny_bert, squad_dir):
    def run(output_dir):
        with small_shards(), short_report():
            return pipeline.run(
                "squad_v2",
                str(tiny_bert),
                output_dir,
                data_dir=squad_dir,
                frozen=False,
                **_SETTINGS,
            )

    return run


@pytest.fixture(scope="module")
def uninterrupted(run, tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("uninterrupted")
    return run(output_dir), output_dir


# Killed processes of other tasks are in the short set.
@pytest.mark.full
def test_killed_run_comes_to_the_same_scores_and_weights(
    run, uninterrupted, tiny_bert, squad_dir, tmp_path
):
    output_dir = tmp_path / "run"
    arguments = [
        *("run", "squad_v2", "--backbone", str(tiny_bert), "--no-frozen"),
        *("--data-dir", str(squad_dir), "--output-dir", str(output_dir)),
    ]
    for name, value in _SETTINGS.items():
        text = ",".join(map(str, value)) if name == "epochs" else str(value)
        arguments += [f"--{name.replace('_', '-')}", text]
    for number, (target, call) in enumerate(_KILLS):
        reached = tmp_path / f"reached {number}"
        kill_before(target, call, reached, arguments)
    _assert_same(run(output_dir), output_dir, *uninterrupted)


@pytest.mark.full
def test_stopped_run_comes_to_the_same_scores_and_weights(
    run, uninterrupted, tmp_path
):
    for target, call in _STOPS:
        with pytest.raises(_Stop), before_call(target, call, _stop):
            run(tmp_path)
    _assert_same(run(tmp_path), tmp_path, *uninterrupted)


def _stop():
    raise _Stop


def _assert_same(comparison, output_dir, expected, expected_dir):
    for found, other in zip(comparison.systems, expected.systems, strict=True):
        assert (found.name, found.scores) == (other.name, other.scores)
    assert comparison.tables == expected.tables
    for name in ("epoch_0.5", "epoch_1"):
        for one, other in zip(
            _models(output_dir, name), _models(expected_dir, name), strict=True
        ):
            for first, second in zip(one.weights, other.weights, strict=True):
                np.testing.assert_array_equal(first, second, first.path)


def _models(output_dir, name):
    snapshot = Snapshot.open(output_dir / "finetune" / name)
    head = TrainedHead.open(output_dir / "head" / name)
    return snapshot.load_model()[1], head.load_model()
