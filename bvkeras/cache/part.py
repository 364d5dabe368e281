"""Some of the examples of a cache, with some of their hidden states."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.index import RecordIndex
from bvkeras.errors import ArgumentError


class CachePart(HiddenStateBatches):
    """A part of a cache that gives batches as the whole of it does.

    Nothing is copied: the batches are read from the cache it is a part of.

    Args:
        cache: HiddenStateCache or LoadedCache.
        rows: int array `(examples,)`. Positions in the cache, each once; the
            part's own order.
        layers: sequence of int, or None. Which of the cache's hidden states
            an example has, counted from 0 in the cache. Defaults to `None`:
            all.

    Raises:
        ArgumentError: `rows` or `layers` is empty, or one of them is not in
            the cache or comes twice.

    Example:
        ```python
        part = CachePart(cache, np.arange(100), layers=(0, 6))
        model.fit(part.as_dataset(16, shuffle=True))
        ```
    """

    def __init__(
        self,
        cache: HiddenStateBatches,
        rows: np.ndarray,
        layers: Sequence[int] | None = None,
    ):
        super().__init__(cache.manifest)
        self.rows = _checked("rows", rows, len(cache))
        self.layers = None
        if layers is not None:
            self.layers = _checked("layers", layers, cache.num_layers)
        self._cache = cache
        self._places = tf.constant(self.rows)
        values = {
            field.name: getattr(cache.index, field.name)
            for field in dataclasses.fields(RecordIndex)
        }
        ids = values.pop("ids")
        self._index = RecordIndex(
            ids=[ids[row] for row in self.rows],
            **{name: array[self.rows] for name, array in values.items()},
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<CachePart: {len(self):,} examples of {self._cache!r}>"

    @property
    def index(self) -> RecordIndex:
        """Place, length, label and id of each record of the part."""
        return self._index

    @property
    def num_layers(self) -> int:
        """Hidden states a token."""
        return super().num_layers if self.layers is None else len(self.layers)

    @property
    def num_tokens(self) -> int:
        """Tokens of the part's examples together."""
        return int(self._index.lengths.sum())

    def _parallel_reads(self, with_extras):
        return self._cache._parallel_reads(with_extras)

    def _rows(self, rows, with_extras):
        arrays, mask = self._cache._rows(
            tf.gather(self._places, rows), with_extras
        )
        if self.layers is None:
            return arrays, mask
        return {
            name: tf.gather(array, self.layers, axis=2)
            if name in ("hidden_states", "scales")
            else array
            for name, array in arrays.items()
        }, mask


def _checked(argument, numbers, size):
    numbers = np.asarray(numbers, np.int64)
    inside = numbers.size and numbers.min() >= 0 and numbers.max() < size
    if not inside or len(np.unique(numbers)) != numbers.size:
        raise ArgumentError(
            f"{argument}: expected numbers from 0 to {size - 1}, each once "
            f"and at least one, got {numbers.tolist()[:10]}"
        )
    return numbers
