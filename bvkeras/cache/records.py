"""Where the parts of a record lie, and whether its bytes are those written.

A record is 12 bytes in front (its message's size, and the CRC of that), the
message, and the message's CRC; docs/cache_format.md has the details. Nothing
here believes a number that is read: every size is compared with what is
there before anything is allocated.
"""

import dataclasses
import math
from collections.abc import Callable

import google.protobuf.message
import google_crc32c
import numpy as np
import tensorflow as tf

from bvkeras.cache.format import Manifest
from bvkeras.cache.token_arrays import extra_arrays, stored_arrays

FRONT_BYTES = 12
CRC_BYTES = 4
_SIZE_BYTES = 8
_CRC_MASK = 0xA282EAD8
# Tags of tf.train.Example's parts: field number and wire type.
_FEATURES, _ENTRY, _KEY, _FEATURE = b"\x0a", b"\x0a", b"\x0a", b"\x12"
_BYTES_LIST, _VALUE = b"\x0a", b"\x0a"
_MAX_VARINT_BYTES = 10
_MAX_KEY_BYTES = 32
# What a message has besides arrays: an id, labels, names, tags and sizes.
_MAX_REST_BYTES = 1 << 20
# Protocol buffers have no larger messages.
_MAX_MESSAGE_BYTES = (1 << 31) - 1

# Gives bytes of a message: `(offset, num_bytes)`.
Read = Callable[[int, int], bytes]


class RecordError(ValueError):
    """What is wrong with a record; whoever knows its place adds it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """The small parts of a record, and where in its message the large lie.

    Attributes:
        index: int. Position in the split.
        id: bytes. The example's id, UTF-8.
        length: int. Tokens.
        label: int or float. Class, or score; or a tuple of int: first and
            last token of a span, 0 or 1 for each of several labels, or the
            tag of each token, -1 of none.
        values_start: int. First byte of the hidden states.
        scales_start: int. First byte of int8's scales; otherwise 0.
        context: int. Of a span: first token of the context; otherwise 0.
    """

    index: int
    id: bytes
    length: int
    label: int | float | tuple[int, ...]
    values_start: int
    scales_start: int
    context: int = 0


def masked_crc(*parts: bytes | np.ndarray) -> int:
    """The CRC-32C of some bytes, as TFRecord files keep it."""
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    return (((crc >> 15) | (crc << 17)) + _CRC_MASK) & 0xFFFFFFFF


def message_bytes(front: bytes, bytes_left: int, most: int) -> int:
    """Size of a record's message, from the 12 bytes in front of it.

    Args:
        front: bytes. Fewer than 12 where the file ends.
        bytes_left: int. Bytes of the file from `front` on.
        most: int. The most a message of this cache has; see
            `RecordParser.max_message_bytes`.

    Raises:
        RecordError: they are damaged, the file ends before the record, or the
            message is larger than any of this cache.
    """
    if len(front) < FRONT_BYTES:
        raise RecordError("the file ends inside it")
    size = int.from_bytes(front[:_SIZE_BYTES], "little")
    crc = int.from_bytes(front[_SIZE_BYTES:], "little")
    if masked_crc(front[:_SIZE_BYTES]) != crc:
        raise RecordError("the CRC of its size does not fit")
    if size > bytes_left - FRONT_BYTES - CRC_BYTES:
        raise RecordError(
            f"the file ends inside it: it says it has {size} bytes"
        )
    if size > most:
        raise RecordError(f"it has {size} bytes, expected at most {most}")
    return size


class RecordParser:
    """Takes a cache's records apart without reading their hidden states.

    Args:
        manifest: Manifest of the cache.

    Attributes:
        max_message_bytes: int. The most a record's message has, by what the
            manifest says and by what protocol buffers can hold.
    """

    def __init__(self, manifest: Manifest):
        self._manifest = manifest
        self._max_tokens = manifest.identity["max_tokens"]
        self._arrays = stored_arrays(manifest)
        self._scalars: tuple[str, ...] = ("index", "id", "length", "label")
        if manifest.spans:
            self._scalars += ("context",)
        self._names = sorted([*self._scalars, *self._arrays, *manifest.extras])
        token_bytes = sum(array.item_bytes for array in self._arrays.values())
        for array in extra_arrays(manifest).values():
            token_bytes += math.prod(array.shape) * _MAX_VARINT_BYTES
        self.max_message_bytes = min(
            self._max_tokens * token_bytes + _MAX_REST_BYTES,
            _MAX_MESSAGE_BYTES,
        )

    def parse(self, read: Read, size: int) -> Record:
        """A record's parts.

        Args:
            read: callable. Gives bytes of the message.
            size: int. Bytes of the message.

        Raises:
            RecordError: it is no record of such a cache.
        """
        places = self._places(read, size)
        scalars = {
            name: self._scalar(read, places[name], name)
            for name in self._scalars
        }
        length = scalars["length"]
        if not 0 < length <= self._max_tokens:
            raise RecordError(
                f"its length is {length}, expected 1 to {self._max_tokens}"
            )
        if self._manifest.spans:
            _check_span(scalars["label"], scalars["context"], length)
        if self._manifest.num_tags is not None:
            _check_tags(scalars["label"], self._manifest.num_tags, length)
        starts = {"scales": 0}
        for name, array in self._arrays.items():
            start, end = _field(read, *places[name], _BYTES_LIST)
            start, value_end = _field(read, start, end, _VALUE)
            if not value_end == end == places[name][1]:
                raise RecordError(f"its {name} are not one value")
            if end - start != length * array.item_bytes:
                raise RecordError(
                    f"its {name} have {end - start} bytes, expected "
                    f"{length * array.item_bytes} for {length} tokens"
                )
            starts[name] = start
        return Record(
            **scalars,
            values_start=starts["hidden_states"],
            scales_start=starts["scales"],
        )

    def extras(self, read: Read, size: int) -> dict[str, np.ndarray]:
        """A record's `token_ids` `(tokens,)` and `offsets` `(tokens, 2)`.

        Args:
            read: callable. Gives bytes of the message.
            size: int. Bytes of the message.

        Returns:
            dict of int64 arrays; those that the cache keeps.

        Raises:
            RecordError: they are not of the record's length.
        """
        places = self._places(read, size)
        length = self._scalar(read, places["length"], "length")
        extras = {}
        for name, array in extra_arrays(self._manifest).items():
            feature = _feature(read, places[name], name)
            values = np.array(feature.int64_list.value, array.dtype)
            if values.size != length * math.prod(array.shape):
                raise RecordError(
                    f"its {name} are {values.size} numbers for {length} tokens"
                )
            extras[name] = values.reshape(length, *array.shape)
        return extras

    def _places(self, read: Read, size: int) -> dict[str, tuple[int, int]]:
        """First byte of each `tf.train.Feature`, and the one after it."""
        place, end = _field(read, 0, size, _FEATURES)
        if end != size:
            raise RecordError("bytes follow its message")
        places: dict[str, tuple[int, int]] = {}
        while place < end:
            start, entry_end = _field(read, place, end, _ENTRY)
            key_start, key_end = _field(read, start, entry_end, _KEY)
            key = read(key_start, min(key_end - key_start, _MAX_KEY_BYTES))
            name = key.decode("utf-8", "replace")
            feature = _field(read, key_end, entry_end, _FEATURE)
            if feature[1] != entry_end or name in places:
                raise RecordError("its message is no tf.train.Example")
            places[name] = feature
            place = entry_end
        if list(places) != self._names:
            # In one line, whatever is in a name.
            found = ", ".join(ascii(name)[1:-1] for name in places)
            raise RecordError(
                f"its features are {found}; expected {', '.join(self._names)}"
            )
        return places

    def _scalar(self, read, place, name):
        feature = _feature(read, place, name)
        if name == "id":
            values = feature.bytes_list.value
            if not all(_is_utf8(value) for value in values):
                raise RecordError("its id is not UTF-8")
        elif name == "label" and self._manifest.regression:
            values = feature.float_list.value
        else:
            values = feature.int64_list.value
        if name == "label" and self._manifest.spans:
            if len(values) != 2:
                raise RecordError("its label is not a first and a last token")
            return tuple(values)
        if name == "label" and self._manifest.num_labels is not None:
            if len(values) != self._manifest.num_labels or not {*values} <= {
                0,
                1,
            }:
                raise RecordError(
                    f"its label is not 0 or 1 for each of "
                    f"{self._manifest.num_labels} labels"
                )
            return tuple(values)
        if name == "label" and self._manifest.num_tags is not None:
            return tuple(values)
        if len(values) != 1:
            raise RecordError(f"its {name} is not one value of its type")
        return values[0]


def _check_span(label: tuple[int, int], context: int, length: int) -> None:
    if not 2 <= context < length:
        raise RecordError(
            f"its context begins at token {context}, expected 2 to {length - 1}"
        )
    first, last = label
    if label != (0, 0) and not context <= first <= last < length - 1:
        raise RecordError(
            f"its label is {first} to {last}, expected tokens from {context} "
            f"to {length - 2}, or 0 and 0"
        )


def _check_tags(label: tuple[int, ...], num_tags: int, length: int) -> None:
    if len(label) != length or not all(-1 <= tag < num_tags for tag in label):
        raise RecordError(
            f"its label is not a tag from 0 to {num_tags - 1}, or -1, for each "
            f"of {length} tokens"
        )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _feature(read, place, name):
    start, end = place
    try:
        return tf.train.Feature.FromString(read(start, end - start))
    except google.protobuf.message.DecodeError:
        raise RecordError(f"its {name} cannot be decoded") from None


def _field(read, place, end, tag):
    """First byte of a field's content, and the one after its last."""
    head = read(place, min(end - place, 1 + _MAX_VARINT_BYTES))
    if head[:1] != tag:
        raise RecordError("its message is no tf.train.Example")
    size = shift = 0
    start = place + 1
    for byte in head[1:]:
        size |= (byte & 0x7F) << shift
        shift += 7
        start += 1
        if byte < 0x80:
            if size > end - start:
                break
            return start, start + size
    raise RecordError("its message is no tf.train.Example")
