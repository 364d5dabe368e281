"""A run that is stopped anywhere goes on and comes to the same end."""

import pathlib
import signal

import numpy as np
import pytest

from bvkeras import pipeline
from bvkeras.errors import RunError
from bvkeras.training.finetune import Snapshot
from bvkeras.training.head import TrainedHead
from tests.faults.killed_process import wait_for
from tests.faults.paused_run import before_call, small_shards
from tests.fresh_process import FreshProcess
from tests.pipeline.fast_run import FAST, short_report

_ROOT = pathlib.Path(__file__).parents[2]
# Hidden states in float32: rounding would hide a small difference.
_SETTINGS = {
    **FAST,
    "epochs": (0.5, 1.0),
    "learning_rate": 1e-3,
    "cache_dtype": "float32",
}
_WAIT_SECONDS = 300

# Where the process is killed, how, and its exit status. Each process takes up
# what the one before left; calls are counted from where it does so.
_KILLS = (
    # While the last snapshot is written: two heads and a state came before.
    ("safetensors.numpy:save_file", 3, signal.SIGKILL, -9),
    # Before the second shard of the first cache.
    ("bvkeras.cache.writer:write_shard", 2, signal.SIGTERM, 143),
    # While the state after the first head's second epoch is written.
    ("safetensors.numpy:save_file", 2, signal.SIGKILL, -9),
    # Before the head's predictions; those of the encoder are there.
    ("bvkeras.evaluation.text_kinds:write_predictions", 1, signal.SIGINT, 130),
)
# As above, stopped by an exception and in this process.
_STOPS = (
    ("bvkeras.training.finetune:_save_snapshot", 1),
    ("bvkeras.training.finetune:save_state", 1),
    ("bvkeras.training.finetune:_save_snapshot", 2),
    ("bvkeras.cache.writer:write_shard", 2),
    ("bvkeras.training.head:save_state", 2),
    ("bvkeras.evaluation.text_kinds:write_predictions", 1),
    ("bvkeras.pipeline.steps.head_row:train_head", 2),
    ("bvkeras.pipeline.steps.report:write_report", 1),
    ("bvkeras.reports.report:write_text", 1),
)


class _Stop(BaseException):
    """Nothing catches it."""


@pytest.fixture(scope="module")
def run(tiny_bert, glue_dir):
    """Runs RTE in a directory."""

    def run(output_dir):
        with small_shards(), short_report():
            return pipeline.run(
                "rte",
                str(tiny_bert),
                output_dir,
                data_dir=glue_dir,
                frozen=False,
                **_SETTINGS,
            )

    return run


@pytest.fixture(scope="module")
def uninterrupted(run, tmp_path_factory):
    """Scores and weights of a run nothing happened to."""
    output_dir = tmp_path_factory.mktemp("uninterrupted")
    return _scores(run(output_dir)), _weights(output_dir)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(_KILLS[:2], id="twice"),
        pytest.param(_KILLS, id="everywhere", marks=pytest.mark.full),
    ],
)
def killed(request, run, tiny_bert, glue_dir, tmp_path_factory):
    """A run whose process was killed again and again.

    Gives its directory, the kills, each process's exit status and standard
    error, and what a second process was told meanwhile.
    """
    kills = request.param
    output_dir = tmp_path_factory.mktemp("killed")
    arguments = [
        *("run", "rte", "--backbone", str(tiny_bert), "--no-frozen"),
        *("--data-dir", str(glue_dir), "--output-dir", str(output_dir)),
    ]
    for name, value in _SETTINGS.items():
        text = ",".join(map(str, value)) if name == "epochs" else str(value)
        arguments += [f"--{name.replace('_', '-')}", text]
    ends, refusals = [], []
    for number, (target, call, how, _) in enumerate(kills):
        reached = tmp_path_factory.mktemp("reached") / str(number)
        process = FreshProcess(
            *("-m", "tests.faults.paused_run"),
            *(target, call, reached, *arguments),
            cwd=_ROOT,
            stdout=False,
        )
        try:
            wait_for(reached, process)
            with pytest.raises(RunError) as refused:
                run(output_dir)
            refusals.append(str(refused.value))
            process.send_signal(how)
            _, errors = process.communicate(timeout=_WAIT_SECONDS)
        finally:
            process.kill()
        ends.append((process.returncode, errors))
    return output_dir, kills, ends, refusals


def test_each_process_ended_by_its_signal(killed):
    _, kills, ends, _ = killed
    assert [status for status, _ in ends] == [kill[3] for kill in kills]


def test_a_process_that_can_says_how_to_go_on(killed):
    _, kills, ends, _ = killed
    for (status, errors), (_, _, how, _) in zip(ends, kills, strict=True):
        if how != signal.SIGKILL:
            last = errors.splitlines()[-1]
            assert last == "stopped; the same command goes on from here"
        assert "Traceback" not in errors, status


def test_a_second_process_is_sent_away(killed):
    output_dir, kills, _, refusals = killed
    assert refusals == [
        f"{output_dir} is in use by another bvkeras process; wait for it or "
        "choose another output directory"
    ] * len(kills)


def test_killed_run_comes_to_the_same_scores_and_weights(
    killed, run, uninterrupted
):
    output_dir = killed[0]
    comparison = run(output_dir)
    _assert_same(comparison, output_dir, uninterrupted)
    # What writers were at when they were killed is gone.
    hidden = {path.name for path in output_dir.rglob(".*")}
    assert hidden <= {".lock"}


# The same in one process, at more points.
@pytest.mark.full
def test_stopped_run_comes_to_the_same_scores_and_weights(
    run, uninterrupted, tmp_path
):
    for target, call in _STOPS:
        with pytest.raises(_Stop), before_call(target, call, _stop):
            run(tmp_path)
    _assert_same(run(tmp_path), tmp_path, uninterrupted)


def test_stopped_fine_tuning_goes_on_from_its_last_state(run, tmp_path):
    # The state is saved at the first stop point, after two of three steps.
    third = before_call("bvkeras.training.finetune:_check_finite", 3, _stop)
    with pytest.raises(_Stop), third:
        run(tmp_path)
    again = before_call("bvkeras.training.finetune:_check_finite", 2, _fail)
    end = before_call(
        "bvkeras.pipeline.steps.encoder_row:evaluate_snapshot", 1, _stop
    )
    with pytest.raises(_Stop), again, end:
        run(tmp_path)


def _stop():
    raise _Stop


def _fail():
    pytest.fail("a finished step was done again")


def _scores(comparison):
    return {system.name: system.scores for system in comparison.systems}


def _weights(output_dir):
    """Of both encoders and both heads."""
    weights = {}
    for name in ("epoch_0.5", "epoch_1"):
        snapshot = Snapshot.open(output_dir / "finetune" / name)
        weights[f"encoder {name}"] = snapshot.load_model()[1].get_weights()
        head = TrainedHead.open(output_dir / "head" / name)
        weights[f"head {name}"] = head.load_model().get_weights()
    return weights


def _assert_same(comparison, output_dir, uninterrupted):
    scores, weights = uninterrupted
    assert _scores(comparison) == scores
    for name, found in _weights(output_dir).items():
        for array, expected in zip(found, weights[name], strict=True):
            np.testing.assert_array_equal(array, expected, name)
