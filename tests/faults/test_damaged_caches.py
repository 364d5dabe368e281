"""Every kind of damage to a cache is found and named; none does harm."""

import itertools
import json
import os
import pathlib
import resource
import shutil
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bvkeras import fileio
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.records import (
    RecordError,
    RecordParser,
    masked_crc,
    message_bytes,
)
from bvkeras.cache.verify import find_problems, naming_damage
from bvkeras.errors import BvkerasError, CacheError
from tests import fresh_process
from tests.cache.made_caches import made_extras, make_cache

_ROOT = pathlib.Path(__file__).parents[2]
_SHARD = "hidden_states-00001.tfrecord"
_FIRST = 4
_EXTRAS = ("token_ids", "offsets")
_FEATURES = ("index", "id", "length", "label", "hidden_states", "scales")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cache of three shards with every feature; do not change it."""
    directory = tmp_path_factory.mktemp("whole") / "cache"
    make_cache(directory, dtype="int8", extras=_EXTRAS)
    assert find_problems(directory) == []
    return directory


@pytest.fixture(scope="module")
def index(whole):
    return HiddenStateCache(whole).index


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def edit_manifest(directory, change):
    """Changes the manifest and its digest, as an attacker would."""
    path = directory / "manifest.json"
    record = json.loads(path.read_bytes())
    record.pop("digest")
    record = change(record) or record
    digest = fileio.value_digest(record)
    path.write_text(json.dumps({**record, "digest": digest}), encoding="utf-8")


def assert_refused(directory, *messages):
    """Nothing but one clear line comes of opening or checking a cache."""
    for use in (find_problems, _read_everything):
        with pytest.raises(CacheError) as error:
            use(directory)
        assert "\n" not in str(error.value)
        assert str(directory) in str(error.value)
        for message in messages:
            assert message in str(error.value)


def _read_everything(directory):
    cache = HiddenStateCache(directory)
    with naming_damage(cache):
        for batch in cache.batches(3):
            batch["hidden_states"].numpy()


# Shards that are cut.


def test_cut_at_every_boundary_between_records(whole, index, tmp_path):
    content = (whole / _SHARD).read_bytes()
    starts = index.starts[index.shards == 1].tolist()
    assert starts[0] == 0
    for number, end in enumerate(starts):
        copy = shutil.copytree(whole, tmp_path / str(number))
        (copy / _SHARD).write_bytes(content[:end])
        found = find_problems(copy)
        assert [(p.path, p.record, p.what) for p in found] == [
            (
                str(copy / _SHARD),
                None,
                f"has {end} bytes, the manifest says {len(content)}",
            ),
            (
                str(copy / _SHARD),
                None,
                f"has {number} records, the manifest says 4",
            ),
        ]
        with pytest.raises(CacheError, match=f"{_SHARD} has {end} bytes"):
            HiddenStateCache(copy)


def test_cut_inside_a_record(copy, index):
    content = (copy / _SHARD).read_bytes()
    start = int(index.starts[_FIRST + 2])
    ends = [*range(1, 40), 200, int(index.sizes[_FIRST + 2]) + 15]
    for end in ends:
        (copy / _SHARD).write_bytes(content[: start + end])
        sizes, cut = find_problems(copy)
        assert sizes.what.startswith(f"has {start + end} bytes")
        assert (cut.path, cut.record) == (str(copy / _SHARD), 2)
        assert cut.what.startswith("the file ends inside it")


def test_cut_where_the_manifest_agrees(copy, index):
    """The bytes are fewer, and the manifest was made to say so."""
    path = copy / _SHARD
    end = int(index.starts[_FIRST + 2]) + 100
    path.write_bytes(path.read_bytes()[:end])
    edit_manifest(
        copy, lambda record: record["shards"][1].update(num_bytes=end)
    )
    with pytest.raises(CacheError, match=f"{_SHARD}, record 2: the file ends"):
        _read_everything(copy)
    assert [p.record for p in find_problems(copy)] == [2]


def test_bytes_behind_the_last_record(copy):
    path = copy / _SHARD
    path.write_bytes(path.read_bytes() + bytes(20))
    sizes, behind = find_problems(copy)
    assert sizes.what.startswith("has ")
    assert (behind.record, behind.what) == (
        4,
        "the CRC of its size does not fit",
    )


# Bits that are flipped.


def _regions(data, row, index):
    """Places of a record's parts in its shard, by name."""
    start, size = int(index.starts[row]), int(index.sizes[row])
    message = start + 12
    places = {
        "size": start,
        "CRC of the size": start + 8,
        "first byte": message,
        "last byte": message + size - 1,
        "CRC of the message": message + size,
        "hidden states": message + int(index.values_starts[row]),
        "scales": message + int(index.scales_starts[row]),
    }
    for name in (*_FEATURES, *_EXTRAS):
        key = bytes([len(name)]) + name.encode()
        found = data.index(b"\x0a" + key + b"\x12", message)
        places[f"name of {name}"] = found + 2
        places[f"type of {name}"] = found + 2 + len(name)
        places[f"size of {name}"] = found + 3 + len(name)
        places[f"value of {name}"] = found + 7 + len(name)
    return places


def test_flipped_bit_in_every_region(copy, index):
    path = copy / _SHARD
    content = path.read_bytes()
    places = _regions(content, _FIRST + 1, index)
    assert len(places) == 7 + 4 * 8
    for (region, place), bit in itertools.product(places.items(), (0, 7)):
        data = bytearray(content)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        found = find_problems(copy)
        assert [(p.path, p.record) for p in found] == [(str(path), 1)], region
        if "size" not in region:
            assert found[0].what == "its bytes are not those written", region
        with pytest.raises(CacheError, match=f"{_SHARD}, record 1"):
            _read_everything(copy)


@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_flipped_bit_is_found(whole, index, place, bit, tmp_path):
    copy = tmp_path / "cache"
    shutil.copytree(whole, copy, dirs_exist_ok=True)
    path = copy / _SHARD
    data = bytearray(path.read_bytes())
    place %= len(data)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    starts = index.starts[index.shards == 1]
    record = int(np.searchsorted(starts, place, side="right")) - 1
    (problem,) = find_problems(copy)
    assert (problem.path, problem.record) == (str(path), record)


# Shards that are not where they belong.


def test_missing_shard(copy):
    (copy / _SHARD).unlink()
    assert [str(p) for p in find_problems(copy)] == [
        f"{copy / _SHARD}: is missing"
    ]
    with pytest.raises(CacheError, match=f"{_SHARD} is missing"):
        HiddenStateCache(copy)


def test_folder_in_a_shard_s_place(copy):
    (copy / _SHARD).unlink()
    (copy / _SHARD).mkdir()
    assert [str(p) for p in find_problems(copy)] == [
        f"{copy / _SHARD}: is missing"
    ]


def test_shard_too_many(copy):
    other = copy / "hidden_states-00003.tfrecord"
    shutil.copy(copy / _SHARD, other)
    assert [str(p) for p in find_problems(copy)] == [
        f"{other}: is not in the manifest"
    ]


def test_swapped_shards(tmp_path):
    """Of equal size, so that only their contents tell."""
    make_cache(tmp_path, lengths=(5,) * 8)
    names = [
        tmp_path / f"hidden_states-0000{number}.tfrecord" for number in (0, 1)
    ]
    contents = [name.read_bytes() for name in names]
    assert len(contents[0]) == len(contents[1])
    for name, content in zip(names, reversed(contents), strict=True):
        name.write_bytes(content)
    assert [str(p) for p in find_problems(tmp_path)] == [
        f"{names[0]}, record 0: its index is 4, expected 0",
        f"{names[1]}, record 0: its index is 0, expected 4",
    ]
    with pytest.raises(CacheError, match=r"00000.* its index is 4, expected 0"):
        _read_everything(tmp_path)


def test_shard_that_the_disk_cannot_read(copy, monkeypatch):
    original = os.preadv

    def broken(descriptor, buffers, place):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(_SHARD):
            raise OSError(5, "Input/output error")
        return original(descriptor, buffers, place)

    monkeypatch.setattr(os, "preadv", broken)
    (problem,) = find_problems(copy)
    assert str(problem) == (
        f"{copy / _SHARD}, record 0: cannot be read: [Errno 5] Input/output "
        "error"
    )


# Manifests.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"examples": 11', b'"examples": 12'),
        (b'"complete": true', b'"complete": false'),
        (b'"split": "train"', b'"split": "trian"'),
        (b'"num_layers": 3', b'"num_layers": 4'),
        (b'"seconds": 1.5', b'"seconds": 1.6'),
        (b'"sha256": "', b'"sha256": "0'),
        (b'"digest": "', b'"digest": "0'),
        (b'"digest"', b'"other"'),
    ],
)
def test_edited_manifest(copy, old, new):
    path = copy / "manifest.json"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    assert_refused(copy, "was changed after it was written")


def _set(*keys):
    """A change that sets `record[keys[0]]…` to the last of `keys`."""
    *path, last, value = keys

    def change(record):
        for key in path:
            record = record[key]
        record[last] = value

    return change


_HUGE = 10**30
_LARGE = 1 << 62
_WRONG_VALUES = [
    *(
        (("examples",), v)
        for v in (0, -1, 1.5, "11", None, [], True, 12, _HUGE)
    ),
    *((("num_layers",), v) for v in (0, -3, "3", 4, _HUGE)),
    *((("hidden_dim",), v) for v in (0, -5, 5.0, None)),
    *((("regression",), v) for v in (0, None, "no")),
    *((("complete",), v) for v in (1, None, "yes")),
    *((("seconds",), v) for v in (-1, None, "1", float("nan"))),
    *((("shards",), v) for v in (None, 3, "abc", {}, [3], [None], [{}])),
    *((("identity",), v) for v in (None, [], "x", {}, 3)),
    *((("identity", "layers"), v) for v in (None, 3, "012", [0, 1], [0, 0, 1])),
    *((("identity", "layers"), v) for v in ([0, 1, 2.5], [[], [], []], {})),
    *((("identity", "dtype"), v) for v in ("int4", None, 8, [], "INT8")),
    *((("identity", "extras"), v) for v in (None, 3, ["x"], [[]], "token_ids")),
    *((("identity", "max_tokens"), v) for v in (0, -1, "16", None)),
    *((("identity", "task"), v) for v in (None, 3, [])),
    *((("identity", "surprise"), v) for v in (1,)),
    *((("identity", "converted_from"), v) for v in (["int4"], 3, None)),
    *((("surprise",), v) for v in (1,)),
    *((("shards", 1, "records"), v) for v in (0, -4, "4", None, 5, _HUGE)),
    *((("shards", 1, "tokens"), v) for v in (0, -1, None, _HUGE)),
    *((("shards", 1, "num_bytes"), v) for v in (0, -1, None, _HUGE)),
    (("hidden_dim",), _HUGE),
    (("shards", 1, "sha256"), None),
    *((("shards", 1, "surprise"), v) for v in (1,)),
]


@pytest.mark.parametrize(("keys", "value"), _WRONG_VALUES)
def test_values_that_make_no_sense(copy, keys, value):
    edit_manifest(copy, _set(*keys, value))
    assert_refused(copy, "manifest.json")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("hidden_dim",), _LARGE),
        (("identity", "max_tokens"), 2),
        (("identity", "dtype"), "float32"),
        (("identity", "extras"), []),
        (("regression",), True),
        (("shards", 1, "tokens"), _LARGE),
        (("shards", 1, "num_bytes"), _LARGE),
        (("shards", 1, "sha256"), "f" * 64),
    ],
)
def test_manifest_that_shards_contradict(copy, keys, value):
    edit_manifest(copy, _set(*keys, value))
    assert find_problems(copy)
    if "sha256" not in keys:
        with pytest.raises(CacheError):
            _read_everything(copy)


@pytest.mark.parametrize(
    "name",
    [
        "../stolen",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b",
        f"./{_SHARD}",
        f"x/../{_SHARD}",
        f"{_SHARD}\0",
        f"{_SHARD}\n",
        "hidden_states-1.tfrecord",
        "hidden_states-00002.tfrecord",
        "HIDDEN_STATES-00001.tfrecord",
        "ram://elsewhere/hidden_states-00001.tfrecord",
        "file:///etc/passwd",
        "C:\\hidden_states-00001.tfrecord",
        "~/hidden_states-00001.tfrecord",
        "$HOME",
        "CON",
        "x" * 100_000,
        7,
        None,
        ["hidden_states-00001.tfrecord"],
    ],
)
def test_name_that_leads_elsewhere(copy, name):
    (copy.parent / "stolen").write_bytes((copy / _SHARD).read_bytes())
    edit_manifest(copy, _set("shards", 1, "file", name))
    assert_refused(copy, "manifest.json")


@pytest.mark.parametrize("target", ["outside", "/etc/passwd", "nowhere"])
def test_link_that_leads_elsewhere(copy, target):
    outside = copy.parent / "outside"
    shutil.move(copy / _SHARD, outside)
    (copy / _SHARD).symlink_to(copy.parent / target)
    assert [str(p) for p in find_problems(copy)] == [
        f"{copy / _SHARD}: is a link to a place outside the cache"
    ]
    with pytest.raises(CacheError, match=f"{_SHARD} is a link"):
        HiddenStateCache(copy)


def test_link_to_the_folder_is_followed(copy, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(copy)
    assert find_problems(link) == []
    _read_everything(link)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b"\xff\xfe\x00",
        b"\0" * 1000,
        b'{"version": 2}',
        b'{"version": 2, "digest": null}',
        b'{"version": 1e999}',
        b'{"version": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"version": 2, "version": 3}',
    ],
)
def test_text_that_is_no_manifest(copy, content):
    (copy / "manifest.json").write_bytes(content)
    assert_refused(copy, "manifest.json")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(value=_JSON, position=st.integers(0, 10**6), inside=st.booleans())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_json_in_any_place(whole, tmp_path, value, position, inside):
    """Whatever stands in the manifest: a cache, or one clear line."""
    copy = tmp_path / "cache"
    shutil.copytree(whole, copy, dirs_exist_ok=True)

    def change(record):
        owner = record
        if inside:
            owner = (record["identity"], *record["shards"])[position % 4]
        names = sorted(owner)
        owner[names[position % len(names)]] = value

    edit_manifest(copy, change)
    for use in (find_problems, _open):
        if (error := _refusal(use, copy)) is not None:
            assert str(copy) in str(error)


def _refusal(use, *arguments):
    """The error of this package that a call ends with, or None."""
    try:
        use(*arguments)
    except (BvkerasError, RecordError) as error:
        return error
    return None


def _open(directory):
    cache = HiddenStateCache(directory)
    repr(cache)
    cache.labels()


# Records that somebody wrote to do harm: their CRCs are right.


def frame(message, size=None):
    """A record as it stands in a shard; `size` lies about the message."""
    size = len(message) if size is None else size
    front = struct.pack("<Q", size)
    return b"".join(
        [
            front,
            struct.pack("<I", masked_crc(front)),
            message,
            struct.pack("<I", masked_crc(message)),
        ]
    )


def test_record_of_256_gigabytes_that_is_not_there(copy):
    """A sparse file, and a manifest that agrees with it."""
    size = 1 << 38
    front = frame(b"", size=size)[:12]
    path = copy / _SHARD
    with open(path, "wb") as file:
        file.write(front)
        file.truncate(len(front) + size + 4)
    edit_manifest(copy, _set("shards", 1, "num_bytes", len(front) + size + 4))
    for max_tokens in (16, 1 << 40):
        edit_manifest(copy, _set("identity", "max_tokens", max_tokens))
        (problem,) = find_problems(copy)
        assert str(problem).startswith(
            f"{path}, record 0: it has {size} bytes, expected at most "
        )
        with pytest.raises(CacheError, match=f"{_SHARD}, record 0: it has"):
            _read_everything(copy)


def test_shard_that_is_a_pipe(copy):
    (copy / _SHARD).unlink()
    os.mkfifo(copy / _SHARD)
    (problem,) = find_problems(copy)
    assert str(problem) == f"{copy / _SHARD}: is missing"
    with pytest.raises(CacheError, match=f"{_SHARD} is missing"):
        HiddenStateCache(copy)


def _replace_record(directory, index, record):
    """Puts other bytes in the place of the last record of the shard."""
    path = directory / _SHARD
    start = int(index.starts[_FIRST + 3])
    path.write_bytes(path.read_bytes()[:start] + record)

    def change(manifest):
        manifest["shards"][1].update(
            num_bytes=path.stat().st_size, sha256=fileio.file_digest(path)
        )

    edit_manifest(directory, change)


def varint(value):
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(tag, content, size=None):
    return tag + varint(len(content) if size is None else size) + content


def entry(name, kind, content, **lie):
    key = field(b"\x0a", name.encode())
    return field(b"\x0a", key + field(b"\x12", field(kind, content, **lie)))


_LENGTH = 9
_BYTES, _FLOATS, _INTS = b"\x0a", b"\x12", b"\x1a"


def _message(**changes):
    """The message of the record that is replaced, with other features."""
    kept = made_extras(7, _LENGTH)
    features = {
        "hidden_states": (_BYTES, field(b"\x0a", bytes(_LENGTH * 15))),
        "id": (_BYTES, field(b"\x0a", b"x")),
        "index": (_INTS, field(b"\x0a", varint(7))),
        "label": (_INTS, field(b"\x0a", varint(1))),
        "length": (_INTS, field(b"\x0a", varint(_LENGTH))),
        "offsets": (
            _INTS,
            field(
                b"\x0a",
                b"".join(
                    varint(int(v) % (1 << 64)) for v in kept["offsets"].ravel()
                ),
            ),
        ),
        "scales": (_BYTES, field(b"\x0a", bytes(_LENGTH * 12))),
        "token_ids": (
            _INTS,
            field(b"\x0a", b"".join(varint(int(v)) for v in kept["token_ids"])),
        ),
    }
    features |= changes
    body = b"".join(
        entry(name, *value) for name, value in features.items() if value
    )
    return field(b"\x0a", body)


def test_the_message_is_one_that_is_read(copy, index):
    """So that each attack differs from it in the one way that is tested."""
    record = frame(_message())
    _replace_record(copy, index, record)

    def change(manifest):
        shard = manifest["shards"][1]
        shard["tokens"] += _LENGTH - int(index.lengths[_FIRST + 3])

    edit_manifest(copy, change)
    assert find_problems(copy) == []
    _read_everything(copy)


_ATTACKS = {
    "size of a terabyte": frame(_message(), size=1 << 40),
    "size of all bytes there are": frame(_message(), size=(1 << 64) - 1),
    "size of one byte more": frame(_message(), size=len(_message()) + 1),
    "empty message": frame(b""),
    "zeros": frame(bytes(100)),
    "endless varint": frame(b"\x0a" + b"\xff" * 100),
    "message longer than it is": frame(b"\x0a" + varint(1 << 60) + b"x"),
    "bytes behind the message": frame(_message() + b"x"),
    "other message": frame(field(b"\x12", _message())),
    "text": frame(b"hello, world"),
    "no id": frame(_message(id=None)),
    "feature nobody knows": frame(_message(zzz=(_INTS, b""))),
    "length 0": frame(_message(length=(_INTS, field(b"\x0a", b"\0")))),
    "length of a million": frame(
        _message(length=(_INTS, field(b"\x0a", varint(10**6))))
    ),
    "negative length": frame(
        _message(length=(_INTS, field(b"\x0a", varint((1 << 64) - 9))))
    ),
    "length of ten": frame(
        _message(length=(_INTS, field(b"\x0a", varint(10))))
    ),
    "two lengths": frame(
        _message(length=(_INTS, field(b"\x0a", varint(9) * 2)))
    ),
    "no length": frame(_message(length=(_INTS, b""))),
    "length as text": frame(_message(length=(_BYTES, field(b"\x0a", b"9")))),
    "label as float": frame(
        _message(label=(_FLOATS, field(b"\x0a", bytes(4))))
    ),
    "id as number": frame(_message(id=(_INTS, field(b"\x0a", b"\1")))),
    "id that is not UTF-8": frame(
        _message(id=(_BYTES, field(b"\x0a", b"\xff\xfe")))
    ),
    "hidden states too short": frame(
        _message(hidden_states=(_BYTES, field(b"\x0a", bytes(9 * 15 - 1))))
    ),
    "two hidden states": frame(
        _message(hidden_states=(_BYTES, field(b"\x0a", bytes(67)) * 2))
    ),
    "hidden states as floats": frame(
        _message(hidden_states=(_FLOATS, field(b"\x0a", bytes(9 * 15))))
    ),
    "hidden states of a terabyte": frame(
        _message(hidden_states=(_BYTES, field(b"\x0a", bytes(9), size=1 << 40)))
    ),
    "scales too long": frame(
        _message(scales=(_BYTES, field(b"\x0a", bytes(9 * 12 + 4))))
    ),
    "too few token ids": frame(
        _message(token_ids=(_INTS, field(b"\x0a", varint(1) * 8)))
    ),
    "too many offsets": frame(
        _message(offsets=(_INTS, field(b"\x0a", varint(1) * 19)))
    ),
    "index of another": frame(
        _message(index=(_INTS, field(b"\x0a", varint(8))))
    ),
    "negative index": frame(
        _message(index=(_INTS, field(b"\x0a", varint((1 << 64) - 1))))
    ),
    "features in another order": frame(
        field(
            b"\x0a",
            entry("id", _BYTES, field(b"\x0a", b"x")) + _message(id=None)[2:],
        )
    ),
    "feature that comes twice": frame(
        field(
            b"\x0a",
            entry("hidden_states", _BYTES, field(b"\x0a", bytes(135)))
            + _message()[3:],
        )
    ),
}


@pytest.mark.parametrize("name", _ATTACKS)
def test_record_written_to_do_harm(copy, index, name):
    _replace_record(copy, index, _ATTACKS[name])
    found = find_problems(copy)
    records = [p.record for p in found if p.record is not None]
    assert records[:1] == [3], [str(problem) for problem in found]
    assert {p.path for p in found} <= {
        str(copy / _SHARD),
        # A wrong index shifts what is expected after it.
        str(copy / "hidden_states-00002.tfrecord"),
    }
    with pytest.raises(CacheError) as error:
        _read_everything(copy)
    assert str(copy / _SHARD) in str(error.value)
    assert "\n" not in str(error.value)


@given(
    position=st.integers(0, 10**6),
    inserted=st.binary(max_size=12),
    removed=st.integers(0, 12),
)
@example(position=8, inserted=bytes(9) + b"\n", removed=10)
@settings(max_examples=400, deadline=None)
def test_any_message_is_parsed_or_refused(
    whole_parser, position, inserted, removed
):
    message = _message()
    position %= len(message)
    message = message[:position] + inserted + message[position + removed :]
    _parse(whole_parser, message)


@given(message=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_parsed_or_refused(whole_parser, message):
    _parse(whole_parser, message)


@given(
    front=st.binary(max_size=20),
    bytes_left=st.integers(0, 1 << 70),
    most=st.integers(0, 1 << 70),
)
@settings(max_examples=100, deadline=None)
def test_any_front_is_believed_or_refused(front, bytes_left, most):
    for head in (front, frame(b"", size=int.from_bytes(front[:8], "little"))):
        try:
            size = message_bytes(head[:12], bytes_left, most)
        except RecordError:
            continue
        assert size + 16 <= bytes_left
        assert size <= most


@pytest.fixture(scope="module")
def whole_parser(whole):
    return RecordParser(HiddenStateCache(whole).manifest)


def _parse(parser, message):
    """Parses a message; no read may lie outside of it or be for nothing."""
    reads = []

    def read(offset, num_bytes):
        assert offset >= 0
        assert 0 <= num_bytes <= len(message)
        reads.append(num_bytes)
        return message[offset : offset + num_bytes]

    for parse in (parser.parse, parser.extras):
        reads.clear()
        assert "\n" not in str(_refusal(parse, read, len(message)))
        assert len(reads) < 10 + 2 * len(message)


# What a damaged cache may cost.

_LIMITED = """
import sys, tensorflow, resource
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.errors import CacheError

def virtual_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

find_problems(sys.argv[1])
limit = virtual_bytes() + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for directory in sys.argv[2:]:
    print(len(find_problems(directory)))
    try:
        HiddenStateCache(directory).labels()
    except CacheError:
        pass
"""


@pytest.mark.skipif(
    not hasattr(resource, "RLIMIT_AS") or not pathlib.Path("/proc").is_dir(),
    reason="needs a limit of memory and /proc",
)
def test_lying_sizes_allocate_nothing(whole, index, tmp_path):
    directories = []
    for name in (
        "size of a terabyte",
        "size of all bytes there are",
        "message longer than it is",
        "hidden states of a terabyte",
    ):
        copy = shutil.copytree(whole, tmp_path / name)
        _replace_record(copy, index, _ATTACKS[name])
        directories.append(copy)
    for number, keys in enumerate(
        [("hidden_dim",), ("shards", 1, "tokens"), ("shards", 1, "num_bytes")]
    ):
        copy = shutil.copytree(whole, tmp_path / str(number))
        edit_manifest(copy, _set(*keys, 1 << 50))
        directories.append(copy)
    done = fresh_process.run("-c", _LIMITED, whole, *directories, cwd=_ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = done.stdout.split()
    assert len(counts) == 7
    assert "0" not in counts
