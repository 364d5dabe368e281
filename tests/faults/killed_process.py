"""A `bvkeras` command that is killed at a chosen point."""

import pathlib
import signal
import time

import pytest

from tests.fresh_process import FreshProcess

_ROOT = pathlib.Path(__file__).parents[2]
_WAIT_SECONDS = 300


def kill_before(target, call, reached, arguments):
    """Runs a command in a process, and kills it in front of a call.

    Args:
        target: str. "module:function", as `paused_run.before_call`.
        call: int. From 1.
        reached: path. Made when the point is come to.
        arguments: list of str. Those of the `bvkeras` command.
    """
    process = FreshProcess(
        *("-m", "tests.faults.paused_run"),
        *(target, call, reached, *arguments),
        cwd=_ROOT,
        stdout=False,
    )
    try:
        wait_for(reached, process)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def wait_for(path, process):
    """Waits until a process has made a file."""
    end = time.monotonic() + _WAIT_SECONDS
    while not path.exists():
        if process.poll() is not None:
            pytest.fail(f"ended before the point: {process.stderr.read()}")
        assert time.monotonic() < end, "never came to the point"
        time.sleep(0.05)
