"""Batches of hidden states, wherever they are read from."""

import abc
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bvkeras.cache.batch_plan import BatchPlan
from bvkeras.cache.format import DTYPES, Manifest
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.memory import require_memory
from bvkeras.cache.quantization import dequantize
from bvkeras.errors import ArgumentError

_PREFETCHED_BATCHES = 2


class HiddenStateBatches(abc.ABC):
    """What a cache on disk and one in memory have in common.

    Both give the same batches in the same order for the same arguments.

    Args:
        manifest: Manifest of the cache.
    """

    def __init__(self, manifest: Manifest):
        self.manifest = manifest

    @property
    @abc.abstractmethod
    def index(self) -> RecordIndex:
        """Place, length, label and id of each record."""

    @abc.abstractmethod
    def _rows(
        self, rows: tf.Tensor, with_extras: bool
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """In a graph: the arrays of some examples, padded with zeros.

        Args:
            rows: int64 tensor `(batch,)`.
            with_extras: bool. Whether `token_ids` and `offsets` are wanted.

        Returns:
            dict: `hidden_states` `(batch, tokens, layers, features)` as they
            are stored; with int8 `scales` `(batch, tokens, layers)`; if
            wanted and kept the extras, `(batch, tokens)` and `(batch,
            tokens, 2)`. `tokens` is the longest of the batch. And the mask,
            bool `(batch, tokens)`; of pairs apart uint8, 1 at tokens of the
            first text and 2 at those of the second.
        """

    @abc.abstractmethod
    def _parallel_reads(self, with_extras: bool) -> int:
        """Batches read at once; `tf.data.AUTOTUNE` for one each core."""

    def __len__(self) -> int:
        return self.manifest.examples

    @property
    def num_layers(self) -> int:
        """Hidden states a token."""
        return self.manifest.num_layers

    @property
    def hidden_dim(self) -> int:
        """Features a hidden state."""
        return self.manifest.hidden_dim

    @property
    def dtype(self) -> str:
        """How values are stored."""
        return self.manifest.dtype

    @property
    def max_tokens(self) -> int:
        """Most tokens an example can have."""
        return self.manifest.identity["max_tokens"]

    @property
    def num_bytes(self) -> int:
        """Size of the shards in bytes."""
        return sum(shard.num_bytes for shard in self.manifest.shards)

    @property
    def num_tokens(self) -> int:
        """Tokens of all examples together."""
        return sum(shard.tokens for shard in self.manifest.shards)

    def labels(self) -> np.ndarray:
        """The labels in the split's order.

        Returns:
            int64 or float32 array `(examples,)`; of spans int64 `(examples,
            2)`: first and last token; of several labels a text float32
            `(examples, labels)`; of tagged words int64 `(examples, tokens)`,
            -1 where a token has no tag and after the end.
        """
        return self.index.labels.copy()

    def ids(self) -> list[str]:
        """The examples' ids in the split's order."""
        return [name.decode("utf-8") for name in self.index.ids]

    def lengths(self) -> np.ndarray:
        """Tokens of each example, int64 `(examples,)`."""
        return self.index.lengths.copy()

    def as_dataset(
        self,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        *,
        bucket: bool = False,
        dtype: str | None = None,
        shard: tuple[int, int] = (0, 1),
        start: int = 0,
        weights: np.ndarray | None = None,
    ) -> tf.data.Dataset:
        """Batches for `model.fit`, `evaluate` and `predict`.

        Args:
            batch_size: int. Examples a batch; the last may be smaller.
            shuffle: bool. Whether to shuffle: all examples of the cache, not
                a buffer of them. Each pass over one dataset has another
                order. Defaults to `False`: the split's order.
            seed: int. The order of each pass depends on it and on nothing
                else, the global seed included. Defaults to `0`.
            bucket: bool. Whether examples of like length make a batch, so
                that little of it is padding: the examples of 50 batches are
                sorted by length and, with `shuffle`, the batches shuffled.
                Defaults to `False`.
            dtype: str. `"float32"`, `"bfloat16"` or `"float16"`: hidden
                states are given in it. `"int8"`, of an int8 cache only: they
                are given as they are stored, with their scales. Defaults to
                the stored type; of an int8 cache, to `"bfloat16"`.
            shard: tuple of int. `(i, n)`: the i-th of n parts of each pass,
                for worker i of n that train together, with equal other
                arguments. The parts are disjoint and hold every example once;
                none has two more than another. Defaults to all.
            start: int. Batches to leave out at the beginning of each pass:
                what they hold is not read. The dataset that is left is that
                of an iterator which was stopped after so many. Defaults to
                `0`.
            weights: array `(examples,)`, or None. What an error on each
                example counts, in the split's order; they stand after the
                labels of a batch. Defaults to `None`: none do.

        Returns:
            Dataset of `((hidden_states, mask), label)`: hidden states
            `(batch, tokens, layers, features)`, zero after the last token;
            mask `(batch, tokens)`, uint8, as `tf.distribute` adds no bools;
            labels `(batch,)`, of spans `(batch, 2)`, of several labels a
            text float32 `(batch, labels)`, of tagged words `(batch, tokens)`,
            -1 where a token has no tag. The mask is 1 at real
            tokens; of spans, where an answer can be: at [CLS] and in the
            context; of pairs apart 1 at the first text's and 2 at the
            second's, which follow the first's padding. `tokens` is the
            longest of the batch. With `dtype="int8"` hidden states are
            `(values, scales)`, int8 and float32 `(batch, tokens, layers)`,
            and a hidden state is `values * scales[..., None]`. An iterator
            over it, or over its `repeat()`, can be kept in a
            `tf.train.Checkpoint`: restored, it goes on with the next batch
            and, in later passes, with the orders of an uninterrupted one. It
            does not read again what came before. After the last batch of all
            there is nothing to keep: the passes of a new iterator begin anew.

        Raises:
            ArgumentError: an argument has a value that cannot be used.

        Example:
            ```python
            dataset = cache.as_dataset(32, shuffle=True, bucket=True)
            model.fit(dataset, epochs=3)
            ```
        """
        decode, index = self._decoder(dtype), self.index
        labels_of, mask_of = self._labels(), self._masks()
        if weights is not None:
            if np.shape(weights) != (len(self),):
                raise ArgumentError(
                    f"weights: expected shape ({len(self)},), got "
                    f"{np.shape(weights)}"
                )
            weights = tf.constant(weights, tf.float32)

        def batch(rows):
            arrays, mask = self._rows(rows, with_extras=False)
            arrays, mask = decode(arrays), mask_of(rows, mask)
            states = arrays["hidden_states"]
            if "scales" in arrays:
                states = (states, arrays["scales"])
            inputs = (states, tf.cast(mask, tf.uint8))
            labels = labels_of(rows, mask)
            if weights is None:
                return inputs, labels
            return inputs, labels, tf.gather(weights, rows)

        plan = BatchPlan(
            index.lengths, batch_size, shuffle, seed, bucket, shard, start
        )
        return plan.dataset(
            batch, self._parallel_reads(False), _PREFETCHED_BATCHES
        )

    def batches(
        self,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        *,
        bucket: bool = False,
        dtype: str | None = None,
        shard: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> tf.data.Dataset:
        """As `as_dataset`, but each batch a dict, with all the cache has.

        Args:
            batch_size: int. As `as_dataset`, and so are the others.
            shuffle: bool.
            seed: int.
            bucket: bool.
            dtype: str.
            shard: tuple of int.
            start: int.

        Returns:
            Dataset of dicts: `hidden_states`, `mask`, `label`, `id`,
            `index`, `length`; with `dtype="int8"` also `scales`; of spans
            also `context`, the first token of the context; where the
            cache keeps them `token_ids` `(batch, tokens)` and `offsets`
            `(batch, tokens, 2)`, int64, zero after the last token.

        Raises:
            ArgumentError: an argument has a value that cannot be used.
        """
        decode, index = self._decoder(dtype), self.index
        columns = {
            "id": tf.constant(index.ids),
            "length": tf.constant(index.lengths),
        }
        if self.manifest.spans:
            columns["context"] = tf.constant(index.contexts)
        labels_of, mask_of = self._labels(), self._masks()

        def batch(rows):
            arrays, mask = self._rows(rows, with_extras=True)
            scalars = {
                name: tf.gather(column, rows)
                for name, column in columns.items()
            }
            arrays, mask = decode(arrays), mask_of(rows, mask)
            return {
                **arrays,
                **scalars,
                "label": labels_of(rows, mask),
                "index": rows,
                "mask": mask,
            }

        plan = BatchPlan(
            index.lengths, batch_size, shuffle, seed, bucket, shard, start
        )
        return plan.dataset(
            batch, self._parallel_reads(True), _PREFETCHED_BATCHES
        )

    def records(self, dtype: str | None = None) -> tf.data.Dataset:
        """The examples one by one, in the split's order.

        Args:
            dtype: str. As `as_dataset`.

        Returns:
            Dataset of dicts: what `batches` gives of one example, without
            the batch's axis and the mask.

        Raises:
            ArgumentError: `dtype` cannot be used.
        """

        def first(batch):
            batch.pop("mask")
            return {name: values[0] for name, values in batch.items()}

        return self.batches(1, dtype=dtype).map(first)

    def to_numpy(self, dtype: str | None = None) -> dict[str, np.ndarray]:
        """The whole cache as one padded batch.

        Args:
            dtype: str. As `as_dataset`.

        Returns:
            dict of arrays: what `batches` gives, all examples in the split's
            order. Padded to the longest of all examples, it takes more memory
            than the cache on disk.

        Raises:
            ArgumentError: `dtype` cannot be used.
            CacheError: it does not fit in memory.
        """
        values = len(self) * int(self.index.lengths.max())
        values *= self.num_layers * self.hidden_dim
        require_memory(
            "the padded array",
            values * DTYPES[self._result_dtype(dtype)].itemsize,
            1.0,
            "take batches from as_dataset",
        )
        (batch,) = self.batches(len(self), dtype=dtype).as_numpy_iterator()
        return batch

    def _result_dtype(self, dtype: str | None) -> str:
        """The type of the hidden states given for an argument `dtype`."""
        if dtype is None:
            return "bfloat16" if self.dtype == "int8" else self.dtype
        names = [name for name in DTYPES if name != "int8"]
        names += ["int8"] if self.dtype == "int8" else []
        if dtype not in names:
            raise ArgumentError(
                f"dtype: expected one of {', '.join(names)}, got {dtype!r}"
            )
        return dtype

    def _labels(self) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Gives some rows' labels; of each token, as many as the mask has."""
        labels = tf.constant(self.index.labels)
        if self.manifest.num_tags is None:
            return lambda rows, mask: tf.gather(labels, rows)
        return lambda rows, mask: tf.gather(labels, rows)[:, : mask.shape[1]]

    def _masks(self) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Makes the mask that models get of that of some rows' tokens."""
        if not self.manifest.spans:
            return lambda rows, tokens: tokens
        lengths = tf.constant(self.index.lengths)
        contexts = tf.constant(self.index.contexts)

        def mask(rows, tokens):
            positions = tf.range(tf.shape(tokens, tf.int64)[1])
            in_context = positions >= tf.gather(contexts, rows)[:, None]
            # After the context stands a [SEP].
            in_context &= positions < tf.gather(lengths, rows)[:, None] - 1
            return in_context | (positions == 0)

        return mask

    def _decoder(self, dtype: str | None):
        """Makes of stored arrays those of the type asked for."""
        dtype = self._result_dtype(dtype)

        def decode(arrays):
            if dtype == self.dtype:
                return arrays
            arrays = dict(arrays)
            states = arrays["hidden_states"]
            if "scales" in arrays:
                states = dequantize(states, arrays.pop("scales"), dtype)
            arrays["hidden_states"] = tf.cast(states, dtype)
            return arrays

        return decode
