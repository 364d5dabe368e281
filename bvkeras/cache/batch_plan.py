"""Which examples make which batch, pass after pass over a cache."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras.errors import ArgumentError

_BATCHES_SORTED_TOGETHER = 50


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """An order of batches that depends on its fields alone.

    Attributes:
        lengths: int64 array `(examples,)`. Tokens of each example.
        batch_size: int. Examples a batch; the last may be smaller.
        shuffle: bool. Whether each pass has an order of its own, every
            permutation of the examples as likely as any other.
        seed: int. Seed of the shuffling.
        bucket: bool. Whether examples of like length come together: the
            examples of 50 batches are sorted by length, and the batches then
            shuffled if `shuffle`.
        shard: tuple of int. `(number, count)`: of `count` parts of the
            examples, disjoint and together all, the one with that number.
        start: int. Batches left out at the beginning of each pass.
    """

    lengths: np.ndarray
    batch_size: int
    shuffle: bool = False
    seed: int = 0
    bucket: bool = False
    shard: tuple[int, int] = (0, 1)
    start: int = 0

    def __post_init__(self):
        if self.batch_size < 1:
            raise ArgumentError(
                f"batch_size: expected at least 1, got {self.batch_size}"
            )
        number, count = self.shard
        if not 0 <= number < count <= len(self.lengths):
            raise ArgumentError(
                f"shard: expected (i, n) with 0 <= i < n <= "
                f"{len(self.lengths)} examples, got {self.shard}"
            )
        if not 0 <= self.seed < 1 << 63:
            raise ArgumentError(
                f"seed: expected a number from 0 to 2**63 - 1, got {self.seed}"
            )
        if not 0 <= self.start <= self._all_batches:
            raise ArgumentError(
                f"start: expected 0 to {self._all_batches} batches, got "
                f"{self.start}"
            )

    @property
    def num_batches(self) -> int:
        """Batches of one pass."""
        return self._all_batches - self.start

    @property
    def _all_batches(self) -> int:
        number, count = self.shard
        rows = len(range(number, len(self.lengths), count))
        return -(-rows // self.batch_size)

    def batches(self, pass_seed: int) -> list[np.ndarray]:
        """The batches of a pass, those left out included.

        Args:
            pass_seed: int. Tells one pass from another.

        Returns:
            list of int64 arrays `(batch,)` of examples.
        """
        random = np.random.default_rng([self.seed, pass_seed])
        number, count = self.shard
        if self.shuffle:
            order = random.permutation(len(self.lengths))
        else:
            order = np.arange(len(self.lengths))
        order = order[number::count]
        if self.bucket:
            group = self.batch_size * _BATCHES_SORTED_TOGETHER
            order = np.concatenate(
                [
                    part[np.argsort(self.lengths[part], kind="stable")]
                    for part in _parts(order, group)
                ]
            )
        batches = _parts(order, self.batch_size)
        if self.bucket and self.shuffle:
            batches = [batches[i] for i in random.permutation(len(batches))]
        return batches

    def dataset(
        self, read: Callable[[tf.Tensor], Any], parallel: int, prefetch: int
    ) -> tf.data.Dataset:
        """What `read` makes of the batches, one pass an iteration.

        An iterator over it that stands before or after any batch can be
        kept in a `tf.train.Checkpoint`.

        Args:
            read: callable. Takes an int64 tensor `(batch,)` of examples, in a
                graph; `parallel` calls may run at once. It gets an empty batch,
                too, and what it makes of that is thrown away.
            parallel: int. Batches read at once, or `tf.data.AUTOTUNE`: one
                for each core.
            prefetch: int. Batches read ahead.
        """

        def flat_batches(pass_seed):
            batches = self.batches(int(pass_seed))
            ends = np.cumsum([0, *(len(batch) for batch in batches)])
            return np.concatenate(batches).astype(np.int64), ends

        # Two functions and no more, none of them for AutoGraph: each takes
        # TensorFlow as long as ten batches.
        @tf.autograph.experimental.do_not_convert
        def endless(pass_seed):
            rows, ends = tf.numpy_function(
                flat_batches, [pass_seed], [tf.int64, tf.int64], stateful=False
            )
            rows, ends = (tf.ensure_shape(x, (None,)) for x in (rows, ends))
            numbers = tf.data.Dataset.range(self.start, np.iinfo(np.int64).max)
            pass_ = tf.data.Dataset.from_tensors((rows, ends)).repeat()
            return tf.data.Dataset.zip(numbers, pass_)

        @tf.autograph.experimental.do_not_convert
        def read_batch(number, pass_):
            rows, ends = pass_
            number = tf.minimum(number, self._all_batches)
            end = tf.minimum(number + 1, self._all_batches)
            return read(rows[ends[number] : ends[end]])

        # The end comes last. Had `_pass_seeds` an end, its iterator would be
        # dropped there, while the last batches wait to be taken; a checkpoint
        # made then would not know how many passes there were.
        return (
            _pass_seeds(self.seed)
            .flat_map(endless)
            .map(read_batch, num_parallel_calls=parallel)
            .prefetch(prefetch)
            .take(self.num_batches)
            .apply(tf.data.experimental.assert_cardinality(self.num_batches))
            .with_options(_quick_start())
        )


def _pass_seeds(seed: int) -> tf.data.Dataset:
    """Endless numbers; the first is another in each iteration.

    `Dataset.random` mixes the global seed into its own; two machines that set
    different ones would then disagree about who reads which examples. This is
    the same without the global seed.
    """
    variant = tf.raw_ops.RandomDatasetV2(
        # Two zeros stand for a seed that nobody knows.
        seed=1,
        seed2=seed,
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        rerandomize_each_iteration=True,
        output_types=[tf.int64],
        output_shapes=[()],
    )
    return tf.data.experimental.from_variant(
        variant, tf.TensorSpec((), tf.int64)
    )


def _quick_start() -> tf.data.Options:
    """Leaves out what takes longer than a short pass over a cache.

    There is nothing in these few steps for TensorFlow to rewrite or to tune.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return options


def _parts(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[i : i + size] for i in range(0, len(order), size)]
