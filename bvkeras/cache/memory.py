"""How much memory there is for a cache."""

import pathlib

import psutil

from bvkeras.errors import ArgumentError, CacheError

_CONTROL_GROUP = pathlib.Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes this process can still use without swapping.

    What the machine has left or, where that is less, what a container's
    limit (control groups, version 2) leaves.
    """
    available = psutil.virtual_memory().available
    try:
        limit, used = (
            int((_CONTROL_GROUP / name).read_text())
            for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):
        # No such limit: no file, or the word "max" in it.
        return available
    return min(available, max(0, limit - used))


def fits(num_bytes: int, memory_share: float) -> bool:
    """Whether so many bytes are within a share of the available memory.

    Raises:
        ArgumentError: `memory_share` is not above 0 and at most 1.
    """
    if not 0 < memory_share <= 1:
        raise ArgumentError(
            f"memory_share: expected a number above 0 and at most 1, got "
            f"{memory_share}"
        )
    return num_bytes <= memory_share * available_memory()


def require_memory(
    what: object, num_bytes: int, memory_share: float, otherwise: str
) -> None:
    """Refuses what does not fit in memory.

    Args:
        what: what would be put there, for the message.
        num_bytes: int. Bytes it takes.
        memory_share: float. Share of the available memory it may take.
        otherwise: str. What can be done instead.

    Raises:
        ArgumentError: `memory_share` is not above 0 and at most 1.
        CacheError: it does not fit.
    """
    if not fits(num_bytes, memory_share):
        raise CacheError(
            f"{what} takes {num_bytes / 1e9:,.1f} GB of memory, more than "
            f"{memory_share:.0%} of the {available_memory() / 1e9:,.1f} GB "
            f"available; {otherwise}"
        )
