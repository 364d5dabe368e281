"""What a system's model gives for a split: the class `SystemOutputs`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class SystemOutputs(NamedTuple):
    """What a system's model gives for the rows of a split.

    Attributes:
        ids: sequence of str. Of the rows, in the split's order; of contexts
            `<question id>#<number>`, one for each window.
        labels: array `(rows, …)`, as `bvkeras.tasks.Kind` says.
        outputs: float32 array `(rows, outputs)`; where tokens have outputs
            `(rows, tokens, outputs)`, with `MASKED_LOGIT` after a row's end.
        offsets: sequence of int arrays `(tokens, 2)`, one a row, or None: of
            each token its place in the text, where that is known.
    """

    ids: Sequence[str]
    labels: np.ndarray
    outputs: np.ndarray
    offsets: Sequence[np.ndarray] | None = None
