"""How an encoder reads the two texts of a pair."""

import dataclasses
from typing import TYPE_CHECKING

from bvkeras.errors import ArgumentError

if TYPE_CHECKING:
    from bvkeras.tasks.spec import TaskSpec

# In one row, each token beside those of the other text.
JOINT = "joint"
# Each by itself, as if there were no other.
APART = "apart"
PAIRS = (JOINT, APART)


def check_pairs(pairs: str) -> None:
    """Refuses a way to read pairs that there is not.

    Raises:
        ArgumentError: `pairs` is neither of the two.
    """
    if pairs not in PAIRS:
        raise ArgumentError(
            f"pairs: expected one of {', '.join(PAIRS)}, got {pairs!r}"
        )


def read_as(task: "TaskSpec", apart: bool) -> "TaskSpec":
    """A task whose pairs are read as those of a cache or snapshot were.

    Args:
        task: TaskSpec.
        apart: bool. Whether they were read apart. Of a task without pairs
            nothing is changed.
    """
    pairs = APART if apart else JOINT
    if len(task.text_columns) != 2 or not task.traits.takes_apart:
        return task
    return dataclasses.replace(task, pairs=pairs)
