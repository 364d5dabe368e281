"""Several processes and devices come to what one comes to."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from bvkeras.training.finetune import Snapshot
from tests.tiny_runs import encoder_weights
from tests.training.distributed_finetuning import finetune_alone

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def alone(tiny_bert, tmp_path_factory):
    return finetune_alone(tiny_bert, tmp_path_factory.mktemp("alone"))


def _run(tiny_bert, directory, how, kills=("never",)):
    """Runs a process for each of `kills`; gives exit codes and messages."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _ports(len(kills))]}
    processes = []
    try:
        for index, kill in enumerate(kills):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": cluster, "task": task})
            processes.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m"),
                        "tests.training.distributed_finetuning",
                        *(str(tiny_bert), str(directory), how, kill),
                    ],
                    cwd=_ROOT,
                    env=os.environ | {"TF_CONFIG": config},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        ends = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, text)
        for process, (_, text) in zip(processes, ends, strict=True)
    ]


def _ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _require_same(directory, alone):
    for expected in alone:
        snapshot = Snapshot.open(directory / expected.directory.name)
        assert snapshot.digest() == expected.digest()
        for ours, theirs in zip(
            snapshot.history, expected.history, strict=True
        ):
            assert ours["step"] == theirs["step"]
            assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        pairs = [
            (encoder_weights(s.encoder_directory), _head(s))
            for s in (snapshot, expected)
        ]
        for (weights, head), (other_weights, other_head) in [pairs]:
            for name, value in {**other_weights, **other_head}.items():
                found = {**weights, **head}[name]
                np.testing.assert_allclose(found, value, atol=2e-5)


def _head(snapshot):
    return safetensors.numpy.load_file(snapshot.directory / "head.safetensors")


def test_turns_come_to_the_same(tiny_bert, alone, tmp_path):
    finetune_alone(tiny_bert, tmp_path, accumulate=3)
    _require_same(tmp_path, alone)


@pytest.mark.full
def test_two_devices_come_to_the_same(tiny_bert, alone, tmp_path):
    ((code, text),) = _run(tiny_bert, tmp_path, "mirrored")
    assert code == 0, text[-2000:]
    _require_same(tmp_path, alone)


def test_two_hosts_come_to_the_same_though_one_is_killed(
    tiny_bert, alone, tmp_path
):
    directory = tmp_path / "run"
    (chief, text), (killed, _) = _run(
        tiny_bert, directory, "workers", ("never", "4")
    )
    assert killed == -signal.SIGKILL
    assert chief != 0
    assert "RunError: another worker ended" in text.splitlines()[-1]
    assert (directory / "state.safetensors").exists()
    assert not (directory / "epoch_1").exists()
    for code, text in _run(tiny_bert, directory, "workers", ("never", "never")):
        assert code == 0, text[-2000:]
    _require_same(directory, alone)
    assert not (directory / "state.safetensors").exists()
