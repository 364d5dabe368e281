"""Where every record of a cache lies, and all that is small in it."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from bvkeras.cache.format import Manifest, Shard
from bvkeras.cache.records import (
    CRC_BYTES,
    FRONT_BYTES,
    Record,
    RecordError,
    RecordParser,
    message_bytes,
)
from bvkeras.cache.storage import RandomAccessFile, join
from bvkeras.errors import CacheError

# A page: it holds what follows one record's hidden states and what comes in
# front of the next one's.
_WINDOW_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """The records of a cache, in the split's order.

    Attributes:
        shards: int32 array `(examples,)`. Number of the shard.
        starts: int64 array `(examples,)`. First byte in the shard.
        sizes: int64 array `(examples,)`. Bytes of the message.
        values_starts: int64 array `(examples,)`. First byte of the hidden
            states in the message.
        scales_starts: int64 array `(examples,)`. The same of int8's scales.
        lengths: int64 array `(examples,)`. Tokens.
        labels: int64 or float32 array `(examples,)`; of spans int64
            `(examples, 2)`, first and last token; of several labels a text
            float32 `(examples, labels)`, 0 and 1; of tagged words int64
            `(examples, tokens)`, as wide as the longest, -1 where there is no
            tag and after the end.
        ids: list of bytes. The examples' ids, UTF-8.
        contexts: int64 array `(examples,)`. Of spans: the first token of the
            context; otherwise 0.
    """

    shards: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    values_starts: np.ndarray
    scales_starts: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    ids: list[bytes]
    contexts: np.ndarray

    @classmethod
    def scan(cls, directory, manifest: Manifest) -> "RecordIndex":
        """Reads the index of a cache from its shards.

        A few kilobytes a record are read, and no hidden states.

        Args:
            directory: path, or string of a path that is not local.
            manifest: Manifest of the cache.

        Raises:
            CacheError: a record is not where the one before it ends, or not
                what the manifest says; names shard and record.
        """
        parser = RecordParser(manifest)
        shards: list[int] = []
        places: list[tuple[int, int]] = []
        records: list[Record] = []
        for number, shard in enumerate(manifest.shards):
            path = join(directory, shard.file)
            with RandomAccessFile(path) as file:
                for start, size, record in _scan_shard(
                    file, path, shard, parser, len(records)
                ):
                    shards.append(number)
                    places.append((start, size))
                    records.append(record)
        starts, sizes = np.array(places, np.int64).reshape(-1, 2).T
        is_float = manifest.regression or manifest.num_labels is not None
        labels_dtype = np.float32 if is_float else np.int64
        return cls(
            shards=np.array(shards, np.int32),
            starts=starts,
            sizes=sizes,
            values_starts=_column(records, "values_start", np.int64),
            scales_starts=_column(records, "scales_start", np.int64),
            lengths=_column(records, "length", np.int64),
            labels=(
                _column(records, "label", labels_dtype)
                if manifest.num_tags is None
                else _padded([record.label for record in records])
            ),
            ids=[record.id for record in records],
            contexts=_column(records, "context", np.int64),
        )


def _scan_shard(
    file: RandomAccessFile,
    path,
    shard: Shard,
    parser: RecordParser,
    first: int,
) -> Iterator[tuple[int, int, Record]]:
    """First byte, message size and parts of each record of a shard."""
    window = _Window(file)
    place = tokens = 0
    for number in range(shard.records):
        try:
            size = message_bytes(
                window.read(place, FRONT_BYTES),
                shard.num_bytes - place,
                parser.max_message_bytes,
            )
            message = place + FRONT_BYTES
            record = parser.parse(
                functools.partial(window.read_behind, message),
                size,
            )
            if record.index != first + number:
                raise RecordError(
                    f"its index is {record.index}, expected {first + number}"
                )
        except RecordError as error:
            raise CacheError(f"{path}, record {number}: {error}") from None
        yield place, size, record
        tokens += record.length
        place = message + size + CRC_BYTES
    if place != shard.num_bytes or tokens != shard.tokens:
        raise CacheError(
            f"{path}: its {shard.records} records have {place} bytes and "
            f"{tokens} tokens, the manifest says {shard.num_bytes} and "
            f"{shard.tokens}"
        )


class _Window:
    """Small reads of a file, most of them from the bytes read last."""

    def __init__(self, file: RandomAccessFile):
        self._file = file
        self._start, self._bytes = 0, b""

    def read(self, offset: int, num_bytes: int) -> bytes:
        start = offset - self._start
        if not 0 <= start <= len(self._bytes) - num_bytes:
            if num_bytes > _WINDOW_BYTES:
                return self._file.read(offset, num_bytes)
            self._start, start = offset, 0
            self._bytes = self._file.read(offset, _WINDOW_BYTES)
        return self._bytes[start : start + num_bytes]

    def read_behind(self, place: int, offset: int, num_bytes: int) -> bytes:
        return self.read(place + offset, num_bytes)


def _padded(rows):
    """Tags as one array, with -1 after the end of each row."""
    width = max(map(len, rows), default=0)
    padded = np.full((len(rows), width), -1, np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded


def _column(records, name, dtype):
    return np.array([getattr(record, name) for record in records], dtype)
