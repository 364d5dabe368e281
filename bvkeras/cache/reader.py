"""Reading a hidden-state cache; needs neither the model nor the data set."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from bvkeras.cache.format import Manifest, parse_record, parse_scalar
from bvkeras.cache.quantization import dequantize
from bvkeras.errors import ArgumentError, CacheError

_SHUFFLE_BUFFER_BYTES = 1 << 30
_READ_BYTES = 1 << 20


class HiddenStateCache:
    """All hidden states of a split, on disk, ready for `model.fit`.

    Opening checks that the cache is complete and that every shard has the
    size the manifest gives; `bvkeras.cache.verify.verify_cache` also reads
    their bytes.

    Args:
        directory: str or path. What `write_cache` wrote.

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
        self.directory = pathlib.Path(directory)
        self.manifest = Manifest.read(self.directory)
        if not self.manifest.complete:
            raise CacheError(
                f"{self.directory} is unfinished: run the extraction again, "
                "it goes on where it stopped"
            )
        for shard in self.manifest.shards:
            path = self._path(shard.file)
            if not path.is_file():
                raise CacheError(f"{path} is missing")
            if path.stat().st_size != shard.num_bytes:
                raise CacheError(
                    f"{path} has {path.stat().st_size} bytes, the manifest "
                    f"says {shard.num_bytes}"
                )

    def __len__(self) -> int:
        return self.manifest.examples

    def __repr__(self) -> str:
        return (
            f"<HiddenStateCache {self.directory}: {len(self):,} examples, "
            f"{self.num_layers} layers, {self.hidden_dim} features, "
            f"{self.dtype}>"
        )

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
        return self.manifest.identity["dtype"]

    @property
    def max_tokens(self) -> int:
        """Most tokens an example can have."""
        return self.manifest.identity["max_tokens"]

    @property
    def num_bytes(self) -> int:
        """Size of the shards in bytes."""
        return sum(shard.num_bytes for shard in self.manifest.shards)

    def records(self, shuffle: bool = False, seed: int = 0) -> tf.data.Dataset:
        """The records one by one, as `parse_record` gives them.

        Args:
            shuffle: bool. Shuffle shards, then examples in a buffer of at
                most 1 GiB. Defaults to `False`: the split's order.
            seed: int. Seed of the shuffling.
        """
        paths = self._paths()
        if shuffle:
            np.random.default_rng(seed).shuffle(paths)
        dataset = tf.data.TFRecordDataset(paths, buffer_size=_READ_BYTES)
        if shuffle:
            mean_bytes = max(1, self.num_bytes // max(1, len(self)))
            buffer = min(len(self), max(1, _SHUFFLE_BUFFER_BYTES // mean_bytes))
            dataset = dataset.shuffle(buffer, seed=seed)
        return dataset.map(
            lambda record: _decoded(parse_record(record, self.manifest)),
            num_parallel_calls=tf.data.AUTOTUNE,
        ).apply(tf.data.experimental.assert_cardinality(len(self)))

    def as_dataset(
        self, batch_size: int, shuffle: bool = False, seed: int = 0
    ) -> tf.data.Dataset:
        """Batches for `model.fit`, `evaluate` and `predict`.

        Args:
            batch_size: int. Examples a batch; the last may be smaller.
            shuffle: bool. Whether to shuffle. Defaults to `False`.
            seed: int. Seed of the shuffling, together with the global seed
                of `tf.random.set_seed`. Each pass over one dataset has
                another order.

        Returns:
            Dataset of `((hidden_states, mask), label)`: hidden states
            `(batch, tokens, layers, features)` in the cache's dtype, zero
            behind the last token; mask `(batch, tokens)`, bool; labels
            `(batch,)`. `tokens` is the longest of the batch.

        Raises:
            ArgumentError: `batch_size` is below 1.
        """
        return self.batches(batch_size, shuffle, seed).map(
            lambda batch: (
                (batch["hidden_states"], batch["mask"]),
                batch["label"],
            )
        )

    def batches(
        self, batch_size: int, shuffle: bool = False, seed: int = 0
    ) -> tf.data.Dataset:
        """As `as_dataset`, but each batch a dict with ids and indices too.

        Args:
            batch_size: int. Examples a batch; the last may be smaller.
            shuffle: bool. Whether to shuffle. Defaults to `False`.
            seed: int. Seed of the shuffling.

        Returns:
            Dataset of dicts: `hidden_states`, `mask`, `label`, `id`,
            `index`, `length`.

        Raises:
            ArgumentError: `batch_size` is below 1.
        """
        if batch_size < 1:
            raise ArgumentError(
                f"batch_size: expected at least 1, got {batch_size}"
            )
        shapes = {name: () for name in ("index", "id", "length", "label")}
        shapes["hidden_states"] = (None, self.num_layers, self.hidden_dim)
        return (
            self.records(shuffle, seed)
            .padded_batch(batch_size, padded_shapes=shapes)
            .map(_with_mask)
            .prefetch(2)
        )

    def labels(self) -> np.ndarray:
        """The labels in the split's order, int64 or float32 `(examples,)`."""
        dataset = tf.data.TFRecordDataset(
            self._paths(), buffer_size=_READ_BYTES
        ).map(lambda record: parse_scalar(record, "label", self.manifest))
        return np.array(list(dataset.as_numpy_iterator()))

    def _paths(self) -> list[str]:
        return [str(self._path(shard.file)) for shard in self.manifest.shards]

    def _path(self, file: str) -> pathlib.Path:
        if pathlib.PurePath(file).name != file:
            raise CacheError(
                f"{self.directory}: the manifest names {file!r}, a path "
                "outside the cache"
            )
        return self.directory / file


def _decoded(parsed):
    """Without extras, and with int8 as bfloat16."""
    values, scales = parsed["hidden_states"], parsed.pop("scales", None)
    if scales is not None:
        values = dequantize(values, scales, "bfloat16")
    names = ("index", "id", "length", "label")
    return {name: parsed[name] for name in names} | {"hidden_states": values}


def _with_mask(batch):
    tokens = tf.shape(batch["hidden_states"])[1]
    return {**batch, "mask": tf.sequence_mask(batch["length"], tokens)}
