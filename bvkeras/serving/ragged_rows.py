"""Outputs with several values a row, of which rows have not equally many."""

from collections.abc import Mapping, Sequence

import numpy as np

from bvkeras.serving.kinds import kind_of
from bvkeras.serving.token_graph import NO_PLACE
from bvkeras.tasks.kind import Kind

_START = "start"


def join_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Some batches' rows of an output after one another.

    A batch is as wide as its row with most values. Where others are wider,
    it is filled up as the graph fills up rows with fewer.

    Args:
        parts: sequence of arrays `(rows, …)`.
    """
    if parts[0].ndim != 2 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    joined = []
    for part in parts:
        filled = np.full(
            (len(part), width), _nothing(part.dtype), dtype=part.dtype
        )
        filled[:, : part.shape[1]] = part
        joined.append(filled)
    return np.concatenate(joined)


def trim_rows(
    kind: Kind, outputs: Mapping[str, np.ndarray], prefix: str = ""
) -> dict[str, list[np.ndarray]]:
    """The outputs of a kind that are filled up, without what fills them up.

    Args:
        kind: Kind.
        outputs: mapping of name to array `(rows, …)`.
        prefix: str. What the kind's names have in front. Defaults to `""`.

    Returns:
        dict of name to a list of arrays, one a row; of those of `outputs`
        that the kind fills up.
    """
    names = [f"{prefix}{name}" for name in kind_of(kind).ragged]
    if not names or not outputs.keys() >= set(names):
        return {}
    counts = (outputs[f"{prefix}{_START}"] != NO_PLACE).sum(axis=1).tolist()
    return {
        name: [
            row[:count]
            for row, count in zip(outputs[name], counts, strict=True)
        ]
        for name in names
    }


def _nothing(dtype: np.dtype) -> object:
    if dtype.kind == "O":
        return b""
    return NO_PLACE if dtype.kind == "i" else 0
