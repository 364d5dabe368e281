"""What a hidden-state cache looks like on disk: manifest and records.

docs/cache_format.md describes both, byte for byte.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from bvkeras import fileio
from bvkeras.errors import CacheError
from bvkeras.schema import (
    COUNT,
    OBJECT,
    POSITIVE,
    SECONDS,
    TEXT,
    find_problem,
    list_of,
    record_of,
)

FORMAT_VERSION = 2
MANIFEST_FILE = "manifest.json"
DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int8": np.dtype(np.int8),
}
EXTRAS = ("token_ids", "offsets")
IDENTITY = (
    "task",
    "split",
    "data",
    "config",
    "encoder",
    "tokenizer",
    "compute_dtype",
    "max_tokens",
    "layers",
    "dtype",
    "extras",
    "converted_from",
)
# Also in the identity of a cache of spans, and of no other.
WINDOWS = "windows"
# Also in the identity of a cache of several labels a text, and of no other.
NUM_LABELS = "num_labels"
# Also in the identity of a cache of tagged words, and of no other.
NUM_TAGS = "num_tags"
# Also in the identity of a cache of pairs apart, and of no other.
PAIRS = "pairs"
PAIRS_SCHEMA = {
    **record_of(count=POSITIVE, sha256=TEXT),
    "additionalProperties": False,
}
# Also in the identity of a cache of imported hidden states, and of no other.
IMPORTED = "imported"
IMPORTED_SCHEMA = {
    **record_of(
        encoder=TEXT,
        layers={**list_of(TEXT), "minItems": 1},
        sources=list_of(
            {
                **record_of(
                    name=TEXT, files=COUNT, num_bytes=COUNT, sha256=TEXT
                ),
                "additionalProperties": False,
            }
        ),
    ),
    "additionalProperties": False,
}
WINDOWS_SCHEMA = {
    **record_of(stride=POSITIVE, question_tokens=POSITIVE),
    "additionalProperties": False,
}
_TEXTS = ("task", "split", "data", "encoder", "tokenizer", "compute_dtype")
# Also kept by what was made from a cache.
IDENTITY_SCHEMA = {
    **record_of(
        {
            WINDOWS: WINDOWS_SCHEMA,
            NUM_LABELS: POSITIVE,
            NUM_TAGS: POSITIVE,
            PAIRS: PAIRS_SCHEMA,
            IMPORTED: IMPORTED_SCHEMA,
        },
        **dict.fromkeys(_TEXTS, TEXT),
        config=OBJECT,
        max_tokens=POSITIVE,
        layers={**list_of(COUNT), "uniqueItems": True},
        dtype={"enum": list(DTYPES)},
        extras=list_of({"enum": list(EXTRAS)}),
        converted_from=list_of({"enum": list(DTYPES)}),
    ),
    "additionalProperties": False,
}
SHARD_SCHEMA = {
    **record_of(
        file=TEXT,
        records=POSITIVE,
        tokens=POSITIVE,
        num_bytes=POSITIVE,
        sha256=TEXT,
    ),
    "additionalProperties": False,
}
_SCHEMA = {
    **record_of(
        identity=IDENTITY_SCHEMA,
        examples=POSITIVE,
        num_layers=POSITIVE,
        hidden_dim=POSITIVE,
        regression={"type": "boolean"},
        shards=list_of(SHARD_SCHEMA),
        complete={"type": "boolean"},
        seconds=SECONDS,
        version={},
        writer=TEXT,
    ),
    "additionalProperties": False,
}
_SCALE_BYTES = 4
_MAX_ID_BYTES = 1 << 19


@dataclasses.dataclass(frozen=True)
class Shard:
    """One finished TFRecord file of a cache.

    Attributes:
        file: str. Its name in the cache's folder.
        records: int. Examples in it.
        tokens: int. Tokens in it.
        num_bytes: int. Its size in bytes.
        sha256: str. Digest of its bytes, hexadecimal.
    """

    file: str
    records: int
    tokens: int
    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What is in a cache, and what it was made from.

    Attributes:
        identity: dict. All that decides the contents, by the names in
            `IDENTITY`, of a cache of spans `WINDOWS`, of one of several
            labels a text `NUM_LABELS`, of one of tagged words `NUM_TAGS`, and
            of imported hidden states `IMPORTED`.
            Two caches of equal identity hold equal records.
        examples: int. Examples in the split; of pairs apart, their texts.
        num_layers: int. Hidden states a token.
        hidden_dim: int. Features a hidden state.
        regression: bool. Labels are scores, float32; otherwise int64:
            classes, spans, 0 and 1 for each of several labels, or a tag for
            each token.
        shards: tuple of Shard. Those finished so far, in order.
        complete: bool. Whether that is all of them.
        seconds: float. Time extraction has taken so far.
        version: int. Version of this format.
        writer: str. Package version that wrote it.
    """

    identity: dict[str, Any]
    examples: int
    num_layers: int
    hidden_dim: int
    regression: bool
    shards: tuple[Shard, ...]
    complete: bool
    seconds: float
    version: int = FORMAT_VERSION
    writer: str = ""

    @property
    def dtype(self) -> str:
        """How values are stored: a key of `DTYPES`."""
        return self.identity["dtype"]

    @property
    def extras(self) -> tuple[str, ...]:
        """What records hold besides hidden states: of `EXTRAS`."""
        return tuple(self.identity["extras"])

    @property
    def spans(self) -> bool:
        """Whether a record is a window, its label a span of its tokens."""
        return WINDOWS in self.identity

    @property
    def num_labels(self) -> int | None:
        """Of several labels a text: how many there are; otherwise None."""
        return self.identity.get(NUM_LABELS)

    @property
    def num_tags(self) -> int | None:
        """Of tagged words: how many tags there are; otherwise None.

        A record's label has a number for each token, -1 where it has no tag.
        """
        return self.identity.get(NUM_TAGS)

    @property
    def pairs(self) -> dict[str, Any] | None:
        """Of pairs apart: how many, and their file's SHA-256; else None.

        A record is a text; which two make a pair stands in another file.
        """
        return self.identity.get(PAIRS)

    @property
    def imported(self) -> dict[str, Any] | None:
        """Of imported hidden states: where they came from; otherwise None."""
        return self.identity.get(IMPORTED)

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's hidden states, with the scales of int8."""
        return token_bytes(self.dtype, self.num_layers, self.hidden_dim)

    def digest(self) -> str:
        """SHA-256 over every field, as the file keeps it."""
        return fileio.value_digest(self._record())

    def write(self, directory: pathlib.Path) -> None:
        """Writes the manifest, atomically."""
        fileio.write_text(directory / MANIFEST_FILE, self.text())

    def text(self) -> str:
        """The manifest as its file has it."""
        return fileio.json_text({**self._record(), "digest": self.digest()})

    @classmethod
    def read(cls, directory: pathlib.Path) -> "Manifest":
        """Reads a cache's manifest.

        Raises:
            CacheError: there is none, or it is of another version, edited,
                or nothing that `write` wrote.
        """
        path = directory / MANIFEST_FILE
        try:
            text = fileio.read_bytes(path, error=CacheError)
        except (FileNotFoundError, NotADirectoryError):
            raise CacheError(
                f"{directory} is not a hidden-state cache: it has no "
                f"{MANIFEST_FILE}"
            ) from None
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: bytes, where: Any) -> "Manifest":
        """A manifest from its file's bytes.

        Args:
            text: bytes. JSON, UTF-8.
            where: path of the file, for messages.

        Raises:
            CacheError: as `read`.
        """
        try:
            record = fileio.parse_json(text, where, OBJECT, error=CacheError)
            version, digest = record.get("version"), record.pop("digest", None)
            if version != FORMAT_VERSION:
                raise CacheError(
                    f"{where}: format version {version!r:.40}, this package "
                    f"reads version {FORMAT_VERSION}; extract the hidden "
                    "states again"
                )
            if fileio.value_digest(record) != digest:
                raise CacheError(
                    f"{where} was changed after it was written: its digest "
                    "does not fit"
                )
            problem = find_problem(record, _SCHEMA)
            if problem:
                raise ValueError(problem)
            shards = tuple(Shard(**shard) for shard in record.pop("shards"))
            manifest = cls(**record, shards=shards)
            manifest._check(where)
        except CacheError:
            raise
        except ValueError as error:
            raise CacheError(
                f"{where} is not a manifest bvkeras wrote: {error}"
            ) from None
        return manifest

    def require(self, where: Any, **wanted: Any) -> None:
        """Refuses a cache that was made from something else.

        Args:
            where: path of the cache, for messages.
            **wanted: what its identity shall hold, by the names in
                `IDENTITY`.

        Raises:
            CacheError: it does not; the message names the first difference.
            TypeError: an identity has no such part.
        """
        for name in wanted:
            known = (
                *(*IDENTITY, WINDOWS, NUM_LABELS, NUM_TAGS),
                *(PAIRS, IMPORTED),
            )
            if name not in known:
                raise TypeError(f"{name}: expected one of {', '.join(known)}")
        difference = fileio.first_difference(
            {name: self.identity.get(name) for name in wanted}, wanted
        )
        if difference:
            name, found, expected = difference
            raise CacheError(
                f"{where} was made with {name} = {found}, expected {expected}"
            )

    def _record(self) -> dict[str, Any]:
        record = dataclasses.asdict(self)
        record["shards"] = list(record["shards"])
        return record

    def _check(self, where: Any) -> None:
        """Refuses values that have the right types and make no sense."""
        identity = self.identity
        if len(identity["layers"]) != self.num_layers:
            raise ValueError(f"{self.num_layers} layers: {identity['layers']}")
        if self.imported and max(identity["layers"]) >= len(
            self.imported["layers"]
        ):
            raise ValueError(f"no such layers: {identity['layers']}")
        if self.extras != tuple(x for x in EXTRAS if x in self.extras):
            raise ValueError(f"extras {self.extras!r}")
        if self.spans and (self.regression or "offsets" not in self.extras):
            raise ValueError("spans without offsets, or with scores as labels")
        if self.num_labels and (self.regression or self.spans):
            raise ValueError("several labels, and scores or spans")
        if self.num_tags and (
            self.regression
            or self.spans
            or self.num_labels
            or "offsets" not in self.extras
        ):
            raise ValueError("tags without offsets, or with other labels")
        if self.pairs and (self.spans or self.num_tags or self.imported):
            raise ValueError("pairs apart, and spans or tags, or imported")
        for number, shard in enumerate(self.shards):
            # So no name can lead out of the cache's folder.
            if shard.file != shard_file(number):
                raise CacheError(
                    f"{where} names {shard.file!r}, expected "
                    f"{shard_file(number)}"
                )
        records = sum(shard.records for shard in self.shards)
        if records > self.examples or (
            self.complete and records != self.examples
        ):
            raise CacheError(
                f"{where}: the shards hold {records} examples, the manifest "
                f"says {self.examples}"
            )


def require_not_imported(what: str, identity: dict[str, Any]) -> None:
    """Refuses what was not made by an encoder that bvkeras can run.

    Args:
        what: str. What stands on the hidden states, and a verb.
        identity: dict. That of the cache.

    Raises:
        CacheError: the hidden states were imported.
    """
    imported = identity.get(IMPORTED)
    if imported is not None:
        raise CacheError(
            f"{what} of hidden states imported from {imported['encoder']!r}, "
            "which bvkeras cannot compute from texts"
        )


def shard_file(number: int) -> str:
    """Name of the shard with that number, from 0."""
    return f"hidden_states-{number:05d}.tfrecord"


def token_bytes(dtype: str, num_layers: int, hidden_dim: int) -> int:
    """Bytes of one token's hidden states, with the scales of int8."""
    scale_bytes = _SCALE_BYTES if dtype == "int8" else 0
    return num_layers * (hidden_dim * DTYPES[dtype].itemsize + scale_bytes)


def encode_record(
    index: int,
    example_id: str,
    label: float | int | Sequence[float],
    hidden_states: np.ndarray,
    scales: np.ndarray | None = None,
    token_ids: np.ndarray | None = None,
    offsets: np.ndarray | None = None,
    context: int | None = None,
) -> bytes:
    """One example as the bytes of a record.

    Args:
        index: int. Position in the split.
        example_id: str. The example's id.
        label: int or float. Class, or score; or several int: first and last
            token of a span, 0 or 1 for each label, or the tag of each token.
        hidden_states: array `(tokens, layers, features)`.
        scales: float32 array `(tokens, layers)`, with int8 only.
        token_ids: int array `(tokens,)`, where the cache keeps them.
        offsets: int array `(tokens, 2)`, where the cache keeps them.
        context: int. Of a span: the first token of the context.

    Raises:
        CacheError: the id has more than 512 KiB.
    """
    name = example_id.encode("utf-8")
    if len(name) > _MAX_ID_BYTES:
        raise CacheError(
            f"example {index}: its id has {len(name):,} bytes, expected at "
            f"most {_MAX_ID_BYTES:,}"
        )
    if isinstance(label, float):
        label_feature = tf.train.Feature(
            float_list=tf.train.FloatList(value=[label])
        )
    else:
        # Those of several labels are floats wherever they are computed with.
        numbers = [label] if isinstance(label, int) else map(int, label)
        label_feature = _ints(numbers)
    feature = {
        "index": _ints([index]),
        "id": _bytes(name),
        "length": _ints([len(hidden_states)]),
        "label": label_feature,
        "hidden_states": _array(hidden_states),
    }
    if scales is not None:
        feature["scales"] = _array(scales)
    if token_ids is not None:
        feature["token_ids"] = _ints(token_ids)
    if offsets is not None:
        feature["offsets"] = _ints(offsets.ravel())
    if context is not None:
        feature["context"] = _ints([context])
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Otherwise the order of the features changes from process to process.
    return example.SerializeToString(deterministic=True)


def _ints(values: Any) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _array(values: np.ndarray) -> tf.train.Feature:
    if sys.byteorder == "big":
        values = values.byteswap()
    return _bytes(values.tobytes())
