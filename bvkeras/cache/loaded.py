"""A cache in memory."""

import numpy as np
import tensorflow as tf

from bvkeras.cache.format import Manifest
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.pairs import CachePairs
from bvkeras.cache.stored_batches import StoredBatches
from bvkeras.cache.token_arrays import extra_arrays, stored_arrays
from bvkeras.ops import library
from bvkeras.ops.implementation import takes_native_reading


class LoadedCache(StoredBatches):
    """All hidden states of a split in memory, as `HiddenStateCache.load` gives.

    The same batches in the same order as from disk, gathered from flat
    arrays that hold the tokens of all examples one after the other.

    Args:
        manifest: Manifest of the cache.
        index: RecordIndex of the cache's records.
        arrays: dict of uint8 arrays `(bytes,)`: the cache's `stored_arrays`
            and `extra_arrays`, all tokens and one of zeros after them.
        pairs: CachePairs, or None. Which records make a pair. Defaults to
            `None`.
    """

    def __init__(
        self,
        manifest: Manifest,
        index: RecordIndex,
        arrays: dict[str, np.ndarray],
        pairs: CachePairs | None = None,
    ):
        super().__init__(manifest, pairs)
        self._index = index
        layouts = stored_arrays(manifest) | extra_arrays(manifest)
        # TensorFlow takes the memory over, it copies nothing.
        self._arrays = {
            name: tf.experimental.dlpack.from_dlpack(
                layouts[name].items(array).__dlpack__()
            )
            for name, array in arrays.items()
        }
        self._lengths = tf.constant(index.lengths)
        self._starts = tf.cumsum(self._lengths, exclusive=True)

    def __repr__(self) -> str:
        return (
            f"<LoadedCache: {len(self):,} examples, {self.num_layers} layers, "
            f"{self.hidden_dim} features, {self.dtype}>"
        )

    @property
    def record_index(self) -> RecordIndex:
        """Place, length, label and id of each record."""
        return self._index

    def _parallel_reads(self, with_extras):
        return tf.data.AUTOTUNE

    def _record_rows(self, rows, with_extras):
        wanted = stored_arrays(self.manifest)
        if with_extras:
            wanted |= extra_arrays(self.manifest)
        gather = self._native_gather if takes_native_reading() else self._gather
        arrays, mask = gather(rows, list(wanted))
        return {
            name: layout.typed(arrays[name]) for name, layout in wanted.items()
        }, mask

    def _native_gather(self, rows, names):
        operations = library.load()
        arrays = {}
        for name in names:
            arrays[name], mask = operations.bvkeras_gather_tokens(
                self._arrays[name], self._starts, self._lengths, rows
            )
        return arrays, mask

    def _gather(self, rows, names):
        lengths = tf.gather(self._lengths, rows)
        # The longest of no examples is the smallest of all numbers.
        positions = tf.range(tf.maximum(tf.reduce_max(lengths), 0))
        mask = positions < lengths[:, None]
        places = tf.where(
            mask,
            tf.gather(self._starts, rows)[:, None] + positions,
            self.num_tokens,
        )
        return {
            name: tf.gather(self._arrays[name], places) for name in names
        }, mask
