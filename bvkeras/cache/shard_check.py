"""Checking every byte of one shard."""

import dataclasses
import hashlib
import pathlib
import threading

import numpy as np

from bvkeras.cache.format import Manifest, Shard
from bvkeras.cache.records import (
    CRC_BYTES,
    FRONT_BYTES,
    Record,
    RecordError,
    RecordParser,
    masked_crc,
    message_bytes,
)
from bvkeras.cache.storage import (
    RandomAccessFile,
    file_size,
    join,
    leads_outside,
)
from bvkeras.cache.token_arrays import aligned_bytes, stored_arrays

# For each type unsigned integers as wide, all bits but the sign, and
# infinity, after which only NaN stands.
_MAGNITUDES = {
    "float32": (np.uint32, 0x7FFFFFFF, 0x7F800000),
    "bfloat16": (np.uint16, 0x7FFF, 0x7F80),
    "float16": (np.uint16, 0x7FFF, 0x7C00),
}
_ALIGNMENT = 64


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that is wrong with a cache.

    Attributes:
        path: str. The file or the folder.
        record: int or None. Number of the record in the shard, from 0.
        what: str. What is wrong.
    """

    path: str
    record: int | None
    what: str

    def __str__(self) -> str:
        if self.record is None:
            return f"{self.path}: {self.what}"
        return f"{self.path}, record {self.record}: {self.what}"


class ShardCheck:
    """Reads a shard from end to end and keeps what is wrong with it.

    Memory is needed for its largest record, never for what a number in a
    damaged file claims.

    Args:
        directory: path, or string of a path that is not local.
        manifest: Manifest of the cache.
        shard: Shard.
        first: int. Index of its first example.

    Attributes:
        problems: list of Problem.
        ids: list of bytes. The examples' ids.
    """

    def __init__(
        self,
        directory: pathlib.Path | str,
        manifest: Manifest,
        shard: Shard,
        first: int,
    ):
        self.shard = shard
        self.problems: list[Problem] = []
        self.ids: list[bytes] = []
        self._directory, self._manifest = directory, manifest
        self._path = join(directory, shard.file)
        self._first = first
        self._parser = RecordParser(manifest)
        self._arrays = stored_arrays(manifest)
        self._tokens = self._records = 0
        self._buffer = self._scratch = np.empty(0, np.uint8)
        self._values_start = 0

    def run(self, stop: threading.Event) -> None:
        """Does the check; ends early when `stop` is set."""
        try:
            self._check(stop)
        except OSError as error:
            self._add(self._records, f"cannot be read: {error}")

    def _check(self, stop):
        if leads_outside(self._directory, self.shard.file):
            self._add(None, "is a link to a place outside the cache")
            return
        size = file_size(self._path)
        if size is None:
            self._add(None, "is missing")
            return
        if size != self.shard.num_bytes:
            self._add(
                None,
                f"has {size} bytes, the manifest says {self.shard.num_bytes}",
            )
        digest = hashlib.sha256()
        with RandomAccessFile(self._path) as file:
            place = 0
            while place < size and not stop.is_set():
                try:
                    place += self._record(file, place, size, digest)
                except RecordError as error:
                    # Where the next record begins is not known any more.
                    self._add(self._records, str(error))
                    return
                self._records += 1
        if stop.is_set():
            return
        for name, found in (
            ("records", self._records),
            ("tokens", self._tokens),
        ):
            written = getattr(self.shard, name)
            if found != written and not (name == "tokens" and self.problems):
                self._add(
                    None, f"has {found} {name}, the manifest says {written}"
                )
        if digest.hexdigest() != self.shard.sha256 and not self.problems:
            self._add(None, "its bytes are not those written: another SHA-256")

    def _record(self, file, place, size, digest):
        """Checks the record at `place`; gives its bytes."""
        front = file.read(place, FRONT_BYTES)
        message = message_bytes(
            front, size - place, self._parser.max_message_bytes
        )
        data = self._space(message + CRC_BYTES)
        if file.read_into([data], place + FRONT_BYTES) != data.size:
            raise RecordError("the file ends inside it")
        digest.update(front)
        digest.update(data)
        body, written = data[:message], data[message:].tobytes()
        if masked_crc(body) != int.from_bytes(written, "little"):
            self._add(self._records, "its bytes are not those written")
        else:
            try:
                self._contents(body)
            except RecordError as error:
                self._add(self._records, str(error))
        return FRONT_BYTES + message + CRC_BYTES

    def _contents(self, body):
        def read(offset, num_bytes):
            return body[offset : offset + num_bytes].tobytes()

        record = self._parser.parse(read, body.size)
        self._values_start = record.values_start
        self._tokens += record.length
        self.ids.append(record.id)
        wanted = self._first + self._records
        if record.index != wanted:
            # Those after it are compared with it: a shard that stands in
            # another's place is one problem, not thousands.
            self._first += record.index - wanted
            raise RecordError(f"its index is {record.index}, expected {wanted}")
        if not np.isfinite(record.label).all():
            raise RecordError(f"its label is {record.label}")
        name = record.id.decode("utf-8")
        self._values(record, body, name)
        if self._manifest.extras:
            _check_extras(self._parser.extras(read, body.size), name)

    def _values(self, record: Record, body, name):
        dtype = self._manifest.dtype
        layout = self._arrays["hidden_states"]
        end = record.values_start + record.length * layout.item_bytes
        values = body[record.values_start : end]
        if dtype != "int8":
            if (wrong := self._first_not_finite(values, dtype)) is not None:
                token, layer, _ = np.unravel_index(
                    wrong, (record.length, *layout.shape)
                )
                raise RecordError(
                    f"a hidden state of example {name!r} is NaN or infinite "
                    f"(token {token}, layer {layer})"
                )
            return
        if values.view(np.int8).min() == -128:
            raise RecordError(f"a value of example {name!r} is -128")
        size = record.length * self._arrays["scales"].item_bytes
        scales = body[record.scales_start : record.scales_start + size]
        scales = np.frombuffer(scales.tobytes(), "<f4")
        if not (np.isfinite(scales) & (scales >= 0)).all():
            raise RecordError(
                f"a scale of example {name!r} is NaN, infinite or negative"
            )

    def _first_not_finite(self, values, dtype):
        integer, magnitude, infinity = _MAGNITUDES[dtype]
        bits = values.view(integer)
        if self._scratch.size < bits.size or self._scratch.dtype != integer:
            self._scratch = np.empty(bits.size, integer)
        scratch = self._scratch[: bits.size]
        np.bitwise_and(bits, integer(magnitude), out=scratch)
        if scratch.max() < infinity:
            return None
        return int(np.argmax(scratch >= infinity))

    def _space(self, num_bytes):
        """A buffer in which the hidden states will most likely be aligned."""
        if self._buffer.size < num_bytes + _ALIGNMENT:
            self._buffer = aligned_bytes(num_bytes * 5 // 4 + _ALIGNMENT)
        # They mostly begin where those of the record before did.
        first = -self._values_start % _ALIGNMENT
        return self._buffer[first : first + num_bytes]

    def _add(self, record, what):
        self.problems.append(Problem(str(self._path), record, what))


def _check_extras(extras, name):
    if "token_ids" in extras and extras["token_ids"].min() < 0:
        raise RecordError(f"a token id of example {name!r} is negative")
    if "offsets" in extras:
        starts, ends = extras["offsets"].T
        special = (starts == -1) & (ends == -1)
        if not (special | ((starts >= 0) & (starts <= ends))).all():
            raise RecordError(
                f"an offset of example {name!r} is no pair of start and end"
            )
