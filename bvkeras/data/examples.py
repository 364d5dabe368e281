"""Labelled texts of one split, in memory."""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np

from bvkeras.errors import ArgumentError, DataError
from bvkeras.fileio import value_digest


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled texts of one split of a task.

    Args:
        task: str. Name of the task.
        split: str. Name of the split.
        ids: tuple of n str. One for each example, no two alike.
        texts_a: tuple of n str. The first text of each example.
        texts_b: tuple of n str, or None. The second text of each example;
            None where the task has one text.
        labels: array of shape `(n,)`. int64 class indices, or float32
            scores for regression.

    Raises:
        DataError: the lengths differ, or an id comes twice.
    """

    task: str
    split: str
    ids: tuple[str, ...]
    texts_a: tuple[str, ...]
    texts_b: tuple[str, ...] | None
    labels: np.ndarray

    def __post_init__(self):
        lengths = [len(self.ids), len(self.texts_a), len(self.labels)]
        if self.texts_b is not None:
            lengths.append(len(self.texts_b))
        if len(set(lengths)) > 1:
            raise DataError(
                f"{self.task} {self.split}: ids, texts and labels have "
                f"lengths {lengths}, expected one length"
            )
        if len(set(self.ids)) < len(self.ids):
            raise DataError(
                f"{self.task} {self.split}: {len(self.ids)} examples have "
                f"{len(set(self.ids))} different ids, expected one each"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of every field, in hexadecimal."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        fields["labels"] = self.labels.tolist()
        return value_digest(fields | {"dtype": self.labels.dtype.name})

    def take(self, indices: Iterable[int]) -> "Examples":
        """Picks examples by position.

        Args:
            indices: ints. Positions, in the order wanted.

        Returns:
            `Examples` with `len(indices)` examples.
        """
        indices = np.asarray(list(indices), dtype=np.int64)
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[i] for i in indices),
            texts_a=tuple(self.texts_a[i] for i in indices),
            texts_b=self.texts_b and tuple(self.texts_b[i] for i in indices),
            labels=self.labels[indices],
        )

    def limit(self, n: int | None, seed: int = 0) -> "Examples":
        """Picks a random subset, kept in its original order.

        With one seed, a smaller subset lies inside a larger one.

        Args:
            n: int or None. Size of the subset. None, or more examples than
                there are, keeps all.
            seed: int. Seed of the choice. Defaults to `0`.

        Raises:
            ArgumentError: `n` is less than 1.
        """
        if n is not None and n < 1:
            raise ArgumentError(f"limit: got {n}, expected at least 1")
        if n is None or n >= len(self):
            return self
        chosen = np.random.default_rng(seed).permutation(len(self))[:n]
        return self.take(np.sort(chosen))
