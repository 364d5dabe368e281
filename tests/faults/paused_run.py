"""A run that halts at a chosen point, to be killed there.

    python -m tests.faults.paused_run MODULE:FUNCTION CALL FILE ARGUMENT...

In front of the CALL-th call of the function it makes FILE and waits. The
arguments are those of the `bvkeras` command.
"""

import contextlib
import importlib
import itertools
import pathlib
import signal
import sys
from unittest import mock

from bvkeras.cli import main as cli


@contextlib.contextmanager
def before_call(target, call, action):
    """Runs `action` in front of the `call`-th call of a function.

    Args:
        target: str. "module:function", as the caller looks it up.
        call: int. From 1.
        action: callable without arguments.
    """
    module, name = target.split(":")
    original = getattr(importlib.import_module(module), name)
    calls = itertools.count(1)

    def counted(*args, **kwargs):
        if next(calls) == call:
            action()
        return original(*args, **kwargs)

    with mock.patch(f"{module}.{name}", counted):
        yield


def small_shards():
    """Gives a cache of the small files several shards."""
    return mock.patch("bvkeras.cache.writer._SHARD_BYTES", 10_000)


def _main(target, call, reached, *arguments):
    def halt():
        pathlib.Path(reached).touch()
        signal.pause()

    # A shell that starts us in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with before_call(target, int(call), halt), small_shards():
        return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
