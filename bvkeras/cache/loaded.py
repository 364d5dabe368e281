"""A cache in memory."""

import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.format import Manifest
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.token_arrays import extra_arrays, stored_arrays


class LoadedCache(HiddenStateBatches):
    """All hidden states of a split in memory, as `HiddenStateCache.load` gives.

    The same batches in the same order as from disk, gathered from flat
    arrays that hold the tokens of all examples one behind the other.

    Args:
        manifest: Manifest of the cache.
        index: RecordIndex of the cache.
        arrays: dict of uint8 arrays `(bytes,)`: the cache's `stored_arrays`
            and `extra_arrays`, all tokens and one of zeros behind them.
    """

    def __init__(
        self,
        manifest: Manifest,
        index: RecordIndex,
        arrays: dict[str, np.ndarray],
    ):
        super().__init__(manifest)
        self._index = index
        layouts = stored_arrays(manifest) | extra_arrays(manifest)
        # TensorFlow takes the memory over, it copies nothing.
        self._arrays = {
            name: tf.experimental.dlpack.from_dlpack(
                layouts[name].items(array).__dlpack__()
            )
            for name, array in arrays.items()
        }
        self._starts = tf.constant(np.cumsum([0, *index.lengths])[:-1])

    def __repr__(self) -> str:
        return (
            f"<LoadedCache: {len(self):,} examples, {self.num_layers} layers, "
            f"{self.hidden_dim} features, {self.dtype}>"
        )

    @property
    def index(self) -> RecordIndex:
        """Place, length, label and id of each record."""
        return self._index

    def _rows(self, rows, with_extras):
        lengths = tf.gather(self._index.lengths, rows)
        # The longest of no examples is the smallest of all numbers.
        positions = tf.range(tf.maximum(tf.reduce_max(lengths), 0))
        places = tf.where(
            positions < lengths[:, None],
            tf.gather(self._starts, rows)[:, None] + positions,
            self.num_tokens,
        )
        wanted = stored_arrays(self.manifest)
        if with_extras:
            wanted |= extra_arrays(self.manifest)
        return {
            name: layout.typed(tf.gather(self._arrays[name], places))
            for name, layout in wanted.items()
        }
