"""Batches of what a cache stores: the class `StoredBatches`."""

import abc
import functools

import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.format import Manifest
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.pairs import CachePairs


class StoredBatches(HiddenStateBatches):
    """A whole cache, on disk or in memory, whose records are its examples.

    Of pairs apart a record is a text. An example is then the tokens of both
    texts, the first's in front, padded each to the longest of the batch; its
    mask is 1 at those of the first and 2 at those of the second.

    Args:
        manifest: Manifest of the cache.
        pairs: CachePairs, or None. Which texts make a pair.
    """

    def __init__(self, manifest: Manifest, pairs: CachePairs | None):
        super().__init__(manifest)
        self.pairs = pairs

    @property
    @abc.abstractmethod
    def record_index(self) -> RecordIndex:
        """Place, length, label and id of each record."""

    @abc.abstractmethod
    def _record_rows(
        self, rows: tf.Tensor, with_extras: bool
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """As `_rows`, of records."""

    def __len__(self) -> int:
        return len(self.pairs) if self.pairs else self.manifest.examples

    @property
    def max_tokens(self) -> int:
        """Most tokens an example can have."""
        return super().max_tokens * (2 if self.pairs else 1)

    @functools.cached_property
    def index(self) -> RecordIndex:
        """Length, label and id of each example; no hidden states.

        Raises:
            CacheError: a record is damaged; names shard and record.
        """
        if self.pairs is None:
            return self.record_index
        return self.pairs.index(self.record_index)

    def _rows(self, rows, with_extras):
        if self.pairs is None:
            return self._record_rows(rows, with_extras)
        parts = [
            self._record_rows(tf.gather(places, rows), with_extras)
            for places in self._pair_places
        ]
        (first, first_mask), (second, second_mask) = parts
        mask = tf.concat(
            [tf.cast(first_mask, tf.uint8), 2 * tf.cast(second_mask, tf.uint8)],
            axis=1,
        )
        return {
            name: tf.concat([array, second[name]], axis=1)
            for name, array in first.items()
        }, mask

    @functools.cached_property
    def _pair_places(self) -> list[tf.Tensor]:
        """Records of all pairs' first and second texts.

        Tensors, not constants of a graph: there may be megabytes of them.
        """
        assert self.pairs is not None
        with tf.init_scope():
            return [
                tf.constant(places)
                for places in (self.pairs.first, self.pairs.second)
            ]
