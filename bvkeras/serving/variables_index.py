"""The index of an export's variables, read as data.

TensorFlow keeps it as a sorted table of LevelDB's format, uncompressed: blocks
of entries whose keys share their beginnings, and at the end of the file where
the block of blocks is. Checksums are left to TensorFlow, which compares them
when it reads.

Reference:
    LevelDB, doc/table_format.md; TensorFlow, util/tensor_bundle.
"""

import struct
from typing import NamedTuple

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
# Compression and checksum, after every block.
_TRAILER_BYTES = 5
_MOST_VARINT_BYTES = 10


class Stored(NamedTuple):
    """Where a tensor's bytes are.

    Attributes:
        dtype: int. TensorFlow's number of its type.
        shape: tuple of int.
        offset: int. First byte in the data file.
        num_bytes: int.
    """

    dtype: int
    shape: tuple[int, ...]
    offset: int
    num_bytes: int


def read_index(data: bytes) -> dict[str, Stored]:
    """What is stored, by name, in the order of the names.

    Args:
        data: bytes. The whole index.

    Raises:
        ValueError: it is no index, or of more than one data file.
    """
    if len(data) < _FOOTER_BYTES:
        raise ValueError("it is shorter than a footer")
    footer = data[-_FOOTER_BYTES:]
    if struct.unpack("<Q", footer[-8:]) != (_MAGIC,):
        raise ValueError("it does not end as a table does")
    place = 0
    handle = []
    for _ in range(4):
        number, place = _varint(footer, place)
        handle.append(number)
    entries: list[tuple[bytes, bytes]] = []
    last = b""
    for separator, block_handle in _block(data, *handle[2:]):
        offset, place = _varint(block_handle, 0)
        size, _ = _varint(block_handle, place)
        block = _block(data, offset, size)
        if not block or (entries and block[0][0] <= last):
            raise ValueError("its blocks are not in order")
        entries += block
        last = separator
        if block[-1][0] > last:
            raise ValueError("a block has names of the next")
    return _stored(entries)


def _stored(entries: list[tuple[bytes, bytes]]) -> dict[str, Stored]:
    if not entries or entries[0][0]:
        raise ValueError("it has no header")
    try:
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(entries[0][1])
        found = {
            key.decode("utf-8"): tensor_bundle_pb2.BundleEntryProto.FromString(
                value
            )
            for key, value in entries[1:]
        }
    except (DecodeError, UnicodeDecodeError):
        raise ValueError("an entry cannot be read") from None
    if header.num_shards != 1 or header.endianness != header.LITTLE:
        raise ValueError("it is of several data files, or of another order")
    stored = {}
    for name, entry in found.items():
        shape = tuple(size.size for size in entry.shape.dim)
        if (
            entry.shard_id
            or entry.slices
            or entry.shape.unknown_rank
            or min((*shape, entry.offset, entry.size)) < 0
        ):
            raise ValueError(f"{name!r} is in parts, or of no size")
        stored[name] = Stored(entry.dtype, shape, entry.offset, entry.size)
    return stored


def _block(data: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of one block, keys in ascending order."""
    end = offset + size
    if size < 4 or end + _TRAILER_BYTES > len(data):
        raise ValueError("a block reaches past its end")
    if data[end]:
        raise ValueError("a block is compressed")
    [num_restarts] = struct.unpack_from("<I", data, end - 4)
    entries_end = end - 4 - 4 * num_restarts
    if not num_restarts or entries_end < offset:
        raise ValueError("a block has no place for its restarts")
    restarts = struct.unpack_from(f"<{num_restarts}I", data, entries_end)
    block = data[offset:entries_end]
    entries: list[tuple[bytes, bytes]] = []
    starts, place, key = {0}, 0, b""
    while place < len(block):
        start = place
        shared, place = _varint(block, place)
        rest, place = _varint(block, place)
        value_size, place = _varint(block, place)
        value_end = place + rest + value_size
        if shared > len(key) or value_end > len(block):
            raise ValueError("an entry reaches past its block")
        if not shared:
            starts.add(start)
        longer = key[:shared] + block[place : place + rest]
        if entries and longer <= key:
            raise ValueError("its names are not in order")
        key = longer
        entries.append((key, block[place + rest : value_end]))
        place = value_end
    # TensorFlow looks names up from there: it must come to the same ones.
    if not starts.issuperset(restarts):
        raise ValueError("a block's restarts are no entries")
    return entries


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number, and the place after it."""
    number = 0
    for count in range(_MOST_VARINT_BYTES):
        if place + count >= len(data):
            break
        byte = data[place + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, place + count + 1
    raise ValueError("a number has no end")
