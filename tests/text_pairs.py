"""Pairs of small texts, some of them in several pairs."""

import dataclasses

import numpy as np

from bvkeras import tasks
from bvkeras.data.examples import Examples

SCORES_APART = dataclasses.replace(tasks.get("stsb"), pairs="apart")
CLASSES_APART = dataclasses.replace(tasks.get("mnli"), pairs="apart")

_TEXTS = ("7 7 a b", "z z a", "a b c a b c 7", "z", "b c 7 7 7 z z a", "7 a")


def make_pairs(count=20, task=SCORES_APART, split="train"):
    """Pairs out of six texts; the label says how alike they are."""
    first = np.arange(count) % len(_TEXTS)
    second = (np.arange(count) * 5 + np.arange(count) // 6) % len(_TEXTS)
    texts = [tuple(_TEXTS[i] for i in numbers) for numbers in (first, second)]
    shared = np.array(
        [
            len({*a.split()} & {*b.split()}) / len({*a.split()} | {*b.split()})
            for a, b in zip(*texts, strict=True)
        ]
    )
    labels = (5 * shared).astype(np.float32)
    if not task.is_regression:
        labels = np.minimum(3 * shared, 2).astype(np.int64)
    ids = tuple(f"zoë-{i}" for i in range(count))
    return Examples(task.name, split, ids, *texts, labels)
