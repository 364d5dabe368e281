"""Reading a hidden-state cache; needs neither the model nor the data set."""

import contextlib
import functools
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.buffer_pool import BufferPool
from bvkeras.cache.format import (
    DTYPES,
    MANIFEST_FILE,
    Manifest,
    require_not_imported,
)
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.loaded import LoadedCache
from bvkeras.cache.memory import fits, require_memory
from bvkeras.cache.pairs import CachePairs
from bvkeras.cache.part import CachePart
from bvkeras.cache.record_reader import RecordReader
from bvkeras.cache.storage import (
    as_directory,
    file_size,
    is_local,
    join,
    leads_outside,
    read_all,
)
from bvkeras.cache.stored_batches import StoredBatches
from bvkeras.cache.token_arrays import (
    aligned_bytes,
    extra_arrays,
    stored_arrays,
)
from bvkeras.errors import ArgumentError, CacheError
from bvkeras.ops import library
from bvkeras.ops.implementation import takes_native_reading
from bvkeras.progress import progress_bar

_SHOWN_BYTES = 1 << 30
# Of a quarter of a million shards.
MANIFEST_BYTES = 1 << 26
# What kernels/cache_ops.cc writes in front of what is wrong.
_NATIVE_ERROR = re.compile(r"hidden-state cache, example (\d+): ")


class HiddenStateCache(StoredBatches):
    """All hidden states of a split, on disk, ready for `model.fit`.

    Opening checks that the cache is complete and that every shard has the
    size the manifest gives. What is read is compared with its CRC each time;
    `bvkeras.cache.verify.verify_cache` checks all of it at once.

    Args:
        directory: str or path. What `write_cache` wrote: a local folder, or
            any that `tf.io.gfile` reads, such as `gs://bucket/cache`.

    Raises:
        CacheError: no cache, an unfinished one, or a shard is missing or cut.

    Example:
        ```python
        cache = bvkeras.HiddenStateCache("runs/reviews/cache/tuned/train")
        model = bvkeras.models.PoolingClassifier(
            num_classes=2, units=16, sequence_length=64
        )
        model.compile(
            "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.fit(cache.as_dataset(batch_size=16, shuffle=True), epochs=3)
        ```
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = as_directory(directory)
        manifest = read_manifest(self.directory)
        pairs = None
        if manifest.pairs is not None and manifest.complete:
            pairs = CachePairs.read(self.directory, manifest)
        super().__init__(manifest, pairs)
        if not self.manifest.complete:
            raise CacheError(
                f"{self.directory} is unfinished: run the extraction again, "
                "it goes on where it stopped"
            )
        for shard in self.manifest.shards:
            path = join(self.directory, shard.file)
            if leads_outside(self.directory, shard.file):
                raise CacheError(f"{path} is a link to a place outside")
            size = file_size(path)
            if size is None:
                raise CacheError(f"{path} is missing")
            if size != shard.num_bytes:
                raise CacheError(
                    f"{path} has {size} bytes, the manifest says "
                    f"{shard.num_bytes}"
                )
        self._buffers = BufferPool()
        # What reading met inside TensorFlow, for those who catch its error.
        self.failure: CacheError | OSError | None = None

    def require(self, encoder: Any = None, **identity: Any) -> None:
        """Refuses a cache that was made from something else.

        Args:
            encoder: Encoder. The cache shall be of this backbone and this
                tokenizer. Defaults to any.
            **identity: what else it shall be made of, by the names in
                `format.IDENTITY`; `layers` as indices from 0.

        Raises:
            CacheError: it is not; the message names the first difference.

        Example:
            ```python
            cache.require(encoder, layers=[0, 3, 6], max_tokens=128)
            ```
        """
        if encoder is not None:
            require_not_imported(f"{self.directory} is", self.manifest.identity)
            identity = {**encoder.identity(), **identity}
        self.manifest.require(self.directory, **identity)

    def __repr__(self) -> str:
        return (
            f"<HiddenStateCache {self.directory}: {len(self):,} examples, "
            f"{self.num_layers} layers, {self.hidden_dim} features, "
            f"{self.dtype}>"
        )

    @functools.cached_property
    def record_index(self) -> RecordIndex:
        """Place, length, label and id of each record; no hidden states.

        Read from the shards when it is first asked for, about 4 KB a record.

        Raises:
            CacheError: a record is damaged; names shard and record.
        """
        return RecordIndex.scan(self.directory, self.manifest)

    @property
    def loaded_bytes(self) -> int:
        """Bytes of memory that `load` takes."""
        layouts = stored_arrays(self.manifest) | extra_arrays(self.manifest)
        token_bytes = sum(layout.item_bytes for layout in layouts.values())
        return (self.num_tokens + 1) * token_bytes

    def load(self, memory_share: float = 0.5) -> LoadedCache:
        """The cache in memory, as it is stored, without padding.

        Gives the same batches as this object, and sooner.

        Args:
            memory_share: float. The most it may take of the memory that is
                available now. Defaults to `0.5`.

        Raises:
            ArgumentError: `memory_share` is not above 0 and at most 1.
            CacheError: it takes more, or a record is damaged.
        """
        require_memory(
            self.directory,
            self.loaded_bytes,
            memory_share,
            "read it from disk with as_dataset",
        )
        return self._load()

    def take(
        self,
        rows: Sequence[int] | np.ndarray,
        layers: Sequence[int] | None = None,
    ) -> CachePart:
        """Some of the examples, with some of their hidden states.

        Args:
            rows: sequence of int. Positions in the cache, each once.
            layers: sequence of int, or None. Which hidden states, counted
                from 0 in the cache. Defaults to all.

        Returns:
            CachePart, which gives batches as the cache does. Nothing is
            copied.

        Raises:
            ArgumentError: `rows` or `layers` is empty, or one of them is not
                in the cache or comes twice.
        """
        return CachePart(self, np.asarray(rows), layers)

    def split(
        self, share: float = 0.2, seed: int = 0
    ) -> tuple[CachePart, CachePart]:
        """Two parts, drawn at random: one to train on, one held out.

        Args:
            share: float in (0, 1). Of the examples in the second part.
                Defaults to `0.2`.
            seed: int. Decides which. Defaults to `0`.

        Raises:
            ArgumentError: `share` leaves one of the parts without an example.
        """
        held_out = round(len(self) * share) if 0 < share < 1 else 0
        if not 0 < held_out < len(self):
            raise ArgumentError(
                f"share: expected both parts to have some of {len(self)} "
                f"examples, got {share}"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        return (
            self.take(np.sort(order[held_out:])),
            self.take(np.sort(order[:held_out])),
        )

    def load_if_it_fits(self, memory_share: float = 0.5) -> HiddenStateBatches:
        """What `load` gives, or this object if the cache takes more memory.

        Args:
            memory_share: float. As `load`.

        Raises:
            ArgumentError: `memory_share` is not above 0 and at most 1.
            CacheError: a record is damaged.
        """
        return self._load() if fits(self.loaded_bytes, memory_share) else self

    def _load(self) -> LoadedCache:
        layouts = stored_arrays(self.manifest) | extra_arrays(self.manifest)
        # One token more, of zeros: what padding is gathered from.
        arrays = {
            name: aligned_bytes((self.num_tokens + 1) * layout.item_bytes)
            for name, layout in layouts.items()
        }
        rows = {
            name: array.reshape(-1, layouts[name].item_bytes)
            for name, array in arrays.items()
        }
        ends = np.cumsum(self.record_index.lengths)
        with self._load_bar() as bar:

            def records():
                first = 0
                for row, last in enumerate(ends):
                    parts = {
                        name: array[first:last].reshape(-1)
                        for name, array in rows.items()
                    }
                    yield row, parts
                    first = last
                    bar.advance()

            self.record_reader.read(records())
        for array in rows.values():
            array[-1] = 0
        return LoadedCache(self.manifest, self.record_index, arrays, self.pairs)

    def _load_bar(self):
        """A progress bar, for what takes long enough to be watched."""
        if self.loaded_bytes < _SHOWN_BYTES:
            return contextlib.nullcontext(_NoBar())
        return progress_bar("load", len(self), "examples")

    def _reads_natively(self, with_extras: bool) -> bool:
        return (
            is_local(self.directory)
            and not (with_extras and self.manifest.extras)
            and takes_native_reading()
        )

    def _parallel_reads(self, with_extras):
        if is_local(self.directory) and not self._reads_natively(with_extras):
            # Two threads would wait for Python's lock more than for the disk.
            return 1
        return tf.data.AUTOTUNE

    def _record_rows(self, rows, with_extras):
        if self._reads_natively(with_extras):
            return self._native_rows(rows)
        layouts = stored_arrays(self.manifest)
        if with_extras:
            layouts |= extra_arrays(self.manifest)
        arrays = tf.numpy_function(
            lambda rows: self._read_rows(rows, layouts),
            [rows],
            [layout.raw_dtype for layout in layouts.values()],
            # Reading changes nothing, so iterators can be checkpointed.
            stateful=False,
        )
        arrays = {
            name: layout.typed(
                tf.ensure_shape(array, (None, None, *layout.shape))
            )
            for (name, layout), array in zip(
                layouts.items(), arrays, strict=True
            )
        }
        tokens = tf.shape(arrays["hidden_states"])[1]
        lengths = tf.gather(self._places[1], rows)
        return arrays, tf.sequence_mask(lengths, tokens)

    def _native_rows(self, rows):
        places, lengths = self._places
        values, scales, mask = library.load().bvkeras_read_records(
            self._paths,
            places,
            lengths,
            rows,
            T=tf.as_dtype(DTYPES[self.dtype]),
            layers=self.num_layers,
            features=self.hidden_dim,
        )
        arrays = {"hidden_states": values}
        if self.dtype == "int8":
            arrays["scales"] = scales
        return arrays, mask

    @functools.cached_property
    def _paths(self) -> tf.Tensor:
        paths = [
            os.fspath(join(self.directory, shard.file))
            for shard in self.manifest.shards
        ]
        with tf.init_scope():
            return tf.constant(paths)

    @functools.cached_property
    def _places(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Where the records lie, `(examples, 5)`, and their lengths.

        Tensors, not constants of a graph: there may be megabytes of them.
        """
        index = self.record_index
        columns = (
            index.shards,
            index.starts,
            index.sizes,
            index.values_starts,
            index.scales_starts,
        )
        places = np.stack([column.astype(np.int64) for column in columns], 1)
        with tf.init_scope():
            return tf.constant(places), tf.constant(index.lengths)

    def damage_at(self, error: tf.errors.OpError) -> CacheError | OSError:
        """What was met where TensorFlow raised an error while reading.

        Args:
            error: OpError. What iterating over a dataset raised.

        Returns:
            CacheError that names shard, record and example, or OSError;
            `error` itself if it has nothing to do with reading.
        """
        if self.failure is not None:
            return self.failure
        found = _NATIVE_ERROR.search(error.message)
        if found is None:
            return error
        row = int(found[1])
        layouts = stored_arrays(self.manifest)
        size = int(self.record_index.lengths[row])
        try:
            self.record_reader.read(
                [
                    (
                        row,
                        {
                            name: aligned_bytes(size * layout.item_bytes)
                            for name, layout in layouts.items()
                        },
                    )
                ]
            )
        except (CacheError, OSError) as damage:
            return damage
        return CacheError(f"{self.directory}: {error.message}")

    def _read_rows(self, rows, layouts):
        """The arrays of some examples, padded, as unsigned integers."""
        lengths = self.record_index.lengths[rows]
        tokens = int(lengths.max(initial=0))
        arrays = {}
        for name, layout in layouts.items():
            row_bytes = tokens * layout.item_bytes
            data = self._buffers.take(len(rows) * row_bytes)
            arrays[name] = data.reshape(len(rows), row_bytes)

        def records():
            for place, row in enumerate(rows):
                parts = {}
                for name, layout in layouts.items():
                    end = int(lengths[place]) * layout.item_bytes
                    parts[name] = arrays[name][place, :end]
                    arrays[name][place, end:] = 0
                yield row, parts

        try:
            self.record_reader.read(records())
        except (CacheError, OSError) as error:
            # TensorFlow makes an error of its own of it.
            self.failure = error
            raise
        return [layouts[name].items(arrays[name]) for name in layouts]

    @functools.cached_property
    def record_reader(self) -> RecordReader:
        return RecordReader(self.directory, self.manifest, self.record_index)


class _NoBar:
    def advance(self) -> None:
        """Shows nothing."""


def read_manifest(directory) -> Manifest:
    """The manifest of a cache that lies anywhere `tf.io.gfile` reads.

    Args:
        directory: path, or string of a path that is not local.

    Raises:
        CacheError: there is none, or it cannot be understood.
    """
    path = join(directory, MANIFEST_FILE)
    if leads_outside(directory, MANIFEST_FILE):
        raise CacheError(f"{path} is a link to a place outside")
    try:
        text = read_all(path, MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise CacheError(
            f"{directory} is not a hidden-state cache: it has no "
            f"{MANIFEST_FILE}"
        ) from None
    return Manifest.parse(text, path)
