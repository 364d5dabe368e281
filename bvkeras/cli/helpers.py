"""Processes that do the same command's work beside this one."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from bvkeras.parent_process import child_environment
from bvkeras.printable import say

_WAIT_SECONDS = 60.0


@contextlib.contextmanager
def helpers(arguments: Sequence[str], count: int) -> Iterator[None]:
    """Runs a command in other processes while the block runs.

    They end with this process, however that ends. What one of them died of
    is said, and no error: the others do its work.

    Args:
        arguments: sequence of str. Those of the `bvkeras` command.
        count: int. Processes.
    """
    with contextlib.ExitStack() as stack:
        logs = [
            stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)
        ]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "bvkeras", *arguments],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
            for log in logs
        ]
        try:
            yield
            for process in started:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_WAIT_SECONDS)
        finally:
            for process in started:
                if process.poll() is None:
                    process.kill()
                process.wait()
        for process, log in zip(started, logs, strict=True):
            if process.returncode:
                log.seek(0)
                lines = log.read().decode("utf-8", "replace").splitlines()
                say(
                    f"note: a worker ended early ({process.returncode}): "
                    f"{lines[-1] if lines else 'it said nothing'}",
                    file=sys.stderr,
                )
