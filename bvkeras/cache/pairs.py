"""Which two texts of a cache make a pair: the class `CachePairs`."""

import dataclasses
import hashlib
import pathlib

import numpy as np
import safetensors
import safetensors.numpy

from bvkeras import fileio
from bvkeras.cache.format import PAIRS, Manifest
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.storage import join, leads_outside, read_all
from bvkeras.errors import CacheError

PAIRS_FILE = "pairs.safetensors"

# A pair's two places, labels, id and its end, at most.
_MAX_PAIR_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class CachePairs:
    """The pairs of a cache whose records are single texts.

    Attributes:
        first: int64 array `(pairs,)`. Record of each pair's first text.
        second: int64 array `(pairs,)`. Record of its second text.
        labels: int64 or float32 array, as `RecordIndex` has them.
        ids: list of bytes. The pairs' ids, UTF-8.
    """

    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray
    ids: list[bytes]

    def __len__(self) -> int:
        return len(self.first)

    def to_bytes(self) -> bytes:
        """What the file holds; the same for equal pairs."""
        return safetensors.numpy.save(
            {
                "first": self.first.astype(np.int64),
                "second": self.second.astype(np.int64),
                "labels": np.ascontiguousarray(self.labels),
                "ids": np.frombuffer(b"".join(self.ids), np.uint8),
                "id_ends": np.cumsum([len(name) for name in self.ids]),
            }
        )

    def identity(self) -> dict[str, dict[str, int | str]]:
        """What the identity of their cache says of them."""
        digest = hashlib.sha256(self.to_bytes()).hexdigest()
        return {PAIRS: {"count": len(self), "sha256": digest}}

    def write(self, directory: pathlib.Path) -> None:
        """Writes them into a cache's folder, whole or not at all."""
        with fileio.atomic_path(directory / PAIRS_FILE) as temporary:
            temporary.write_bytes(self.to_bytes())

    @classmethod
    def read(cls, directory, manifest: Manifest) -> "CachePairs":
        """The pairs of a cache.

        Args:
            directory: path, or string of a path that is not local.
            manifest: Manifest of the cache, whose identity has `PAIRS`.

        Raises:
            CacheError: the file is missing, or not the one that was written.
        """
        path = join(directory, PAIRS_FILE)
        return cls._parsed(pairs_bytes(directory, manifest), path, manifest)

    @classmethod
    def _parsed(cls, data: bytes, path, manifest: Manifest) -> "CachePairs":
        try:
            arrays = safetensors.numpy.load(data)
            first, second = arrays["first"], arrays["second"]
            labels, ends = arrays["labels"], arrays["id_ends"]
            text = arrays["ids"].tobytes()
        except (safetensors.SafetensorError, KeyError) as error:
            raise CacheError(f"{path} is damaged: {error}") from None
        assert manifest.pairs is not None
        count = manifest.pairs["count"]
        is_float = manifest.regression or manifest.num_labels is not None
        places = np.stack([first, second]) if first.shape == second.shape else 0
        if (
            first.shape != (count,)
            or np.shape(places) != (2, count)
            or ends.shape != (count,)
            or {first.dtype, second.dtype, ends.dtype} != {np.dtype(np.int64)}
            or labels.shape[:1] != (count,)
            or labels.dtype != (np.float32 if is_float else np.int64)
            or np.min(places) < 0
            or np.max(places) >= manifest.examples
            or (np.diff(ends, prepend=0) < 0).any()
            or ends[-1] != len(text)
        ):
            raise CacheError(f"{path}: its pairs are not those of the manifest")
        starts = [0, *ends[:-1].tolist()]
        ids = [
            text[start:end]
            for start, end in zip(starts, ends.tolist(), strict=True)
        ]
        return cls(first, second, labels, ids)

    def index(self, records: RecordIndex) -> RecordIndex:
        """Length, label and id of each pair; places are the first text's.

        Args:
            records: RecordIndex of the cache's records, its texts.
        """
        parts = {
            field.name: getattr(records, field.name)
            for field in dataclasses.fields(RecordIndex)
            if field.name != "ids"
        }
        parts = {name: array[self.first] for name, array in parts.items()}
        return RecordIndex(
            **{
                **parts,
                "lengths": parts["lengths"] + records.lengths[self.second],
                "labels": self.labels,
                "ids": self.ids,
            }
        )


def pairs_bytes(directory, manifest: Manifest) -> bytes:
    """The bytes of a cache's file of pairs.

    Args:
        directory: path, or string of a path that is not local.
        manifest: Manifest of the cache, whose identity has `PAIRS`.

    Raises:
        CacheError: it is missing, or its bytes are not those written.
    """
    path = join(directory, PAIRS_FILE)
    assert manifest.pairs is not None
    most = _MAX_HEADER_BYTES + manifest.pairs["count"] * _MAX_PAIR_BYTES
    if leads_outside(directory, PAIRS_FILE):
        raise CacheError(f"{path} is a link to a place outside")
    try:
        data = read_all(path, most)
    except FileNotFoundError:
        raise CacheError(f"{path} is missing") from None
    if hashlib.sha256(data).hexdigest() != manifest.pairs["sha256"]:
        raise CacheError(f"{path}: its bytes are not those written")
    return data
