"""Processes that another one started, and that end with it."""

import os
import threading
import time
from collections.abc import Mapping

_PARENT = "BVKERAS_PARENT"
_LOOK_SECONDS = 1.0


def child_environment(**changes: str) -> Mapping[str, str]:
    """The environment of a process that calls `end_with_parent`.

    Args:
        **changes: str. Variables that are other than here.
    """
    return {**os.environ, **changes, _PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone.

    Does nothing where that was not done with `child_environment`.
    """
    parent = os.environ.get(_PARENT)
    if parent is None:
        return

    def watch():
        while os.getppid() == int(parent):
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
