import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache import verify
from bvkeras.cache.format import DTYPES, Manifest
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.records import masked_crc
from bvkeras.cache.verify import find_problems, verify_cache
from bvkeras.errors import CacheError
from tests.cache import made_caches
from tests.cache.made_caches import LENGTHS, made_arrays, make_cache
from tests.tiny_runs import forbid

EXTRAS = ("token_ids", "offsets")


def problems_of(directory):
    """Problems as `(file, record, what)`."""
    return [
        (problem.path.rpartition("/")[2], problem.record, problem.what)
        for problem in find_problems(directory)
    ]


def test_written_cache_is_whole(written_cache):
    assert find_problems(written_cache) == []
    assert len(verify_cache(written_cache)) == 23


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_whole(tmp_path, dtype, regression):
    make_cache(tmp_path, dtype=dtype, regression=regression, extras=EXTRAS)
    assert find_problems(tmp_path) == []


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite(tmp_path, monkeypatch, dtype, value):
    arrays = made_arrays()
    arrays[5][3, 1, 4] = value
    monkeypatch.setattr(made_caches, "made_arrays", lambda *sizes: arrays)
    make_cache(tmp_path, dtype=dtype)
    assert problems_of(tmp_path) == [
        (
            "hidden_states-00001.tfrecord",
            1,
            "a hidden state of example 'zoë-5' is NaN or infinite (token 3, "
            "layer 1)",
        )
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_largest_values_are_finite(tmp_path, monkeypatch, dtype):
    arrays = made_arrays()
    arrays[0][0, 0, :2] = (
        [-65504, 65504] if dtype == "float16" else [-3e38, 3e38]
    )
    monkeypatch.setattr(made_caches, "made_arrays", lambda *sizes: arrays)
    assert find_problems(make_cache(tmp_path, dtype=dtype)) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scales", np.nan, "a scale of example 'zoë-2' is NaN, infinite or"),
        ("scales", -1.0, "a scale of example 'zoë-2' is NaN, infinite or"),
        ("values", -128, "a value of example 'zoë-2' is -128"),
    ],
)
def test_int8_that_nobody_wrote(tmp_path, monkeypatch, name, value, message):
    def wrong(states):
        values, scales = (x.numpy().copy() for x in quantize(states))
        if len(values) == 1:
            (scales if name == "scales" else values)[0, 1] = value
        return tf.constant(values), tf.constant(scales)

    quantize = made_caches.quantize
    monkeypatch.setattr(made_caches, "quantize", wrong)
    make_cache(tmp_path, dtype="int8")
    ((file, record, what),) = problems_of(tmp_path)
    assert (file, record) == ("hidden_states-00000.tfrecord", 2)
    assert what.startswith(message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("token_ids", -1, "a token id of example 'zoë-1' is negative"),
        ("offsets", [5, 4], "an offset of example 'zoë-1' is no pair"),
        ("offsets", [-1, 4], "an offset of example 'zoë-1' is no pair"),
        ("offsets", [-2, -2], "an offset of example 'zoë-1' is no pair"),
    ],
)
def test_impossible_extras(tmp_path, monkeypatch, name, value, message):
    original = made_caches.made_extras

    def wrong(index, length):
        extras = original(index, length)
        if index == 1:
            extras[name][2] = value
        return extras

    monkeypatch.setattr(made_caches, "made_extras", wrong)
    make_cache(tmp_path, extras=EXTRAS)
    ((_, record, what),) = problems_of(tmp_path)
    assert record == 1
    assert what.startswith(message)


def test_all_problems_are_listed(tmp_path):
    make_cache(tmp_path)
    names = [f"hidden_states-0000{number}.tfrecord" for number in range(4)]
    content = bytearray((tmp_path / names[0]).read_bytes())
    for record in (1, 3):
        place = int(HiddenStateCache(tmp_path).index.starts[record])
        content[place + 100] ^= 1
    (tmp_path / names[1]).unlink()
    (tmp_path / names[0]).write_bytes(content)
    shutil.copy(tmp_path / names[2], tmp_path / names[3])
    assert problems_of(tmp_path) == [
        (names[0], 1, "its bytes are not those written"),
        (names[0], 3, "its bytes are not those written"),
        (names[1], None, "is missing"),
        (names[3], None, "is not in the manifest"),
    ]
    with pytest.raises(
        CacheError, match=r"record 1: .* written \(and 3 more\)"
    ):
        verify_cache(tmp_path)


def test_bytes_changed_with_their_crc(tmp_path):
    """As a cache that another run wrote in this one's place."""
    make_cache(tmp_path)
    name = "hidden_states-00002.tfrecord"
    manifest = Manifest.read(tmp_path)
    content = (tmp_path / name).read_bytes()
    changed = content.replace("zoë-9".encode(), "zoé-9".encode())
    assert changed != content
    start = 0
    data = bytearray(changed)
    while start < len(data):
        size = int.from_bytes(data[start : start + 8], "little")
        end = start + 12 + size
        crc = masked_crc(bytes(data[start + 12 : end]))
        data[end : end + 4] = crc.to_bytes(4, "little")
        start = end + 4
    (tmp_path / name).write_bytes(data)
    assert manifest == Manifest.read(tmp_path)
    assert problems_of(tmp_path) == [
        (name, None, "its bytes are not those written: another SHA-256")
    ]


def test_unfinished_cache(tmp_path):
    make_cache(tmp_path)
    manifest = Manifest.read(tmp_path)
    dataclasses.replace(
        manifest, shards=manifest.shards[:1], complete=False
    ).write(tmp_path)
    found = find_problems(tmp_path)
    assert [str(problem) for problem in found] == [
        f"{tmp_path}: unfinished, 4 of 11 examples are there: the same "
        "extraction goes on",
        f"{tmp_path}/hidden_states-00001.tfrecord: is not in the manifest",
        f"{tmp_path}/hidden_states-00002.tfrecord: is not in the manifest",
    ]


def test_id_that_comes_twice(tmp_path, monkeypatch):
    encode = made_caches.encode_record
    monkeypatch.setattr(
        made_caches,
        "encode_record",
        lambda index, name, *rest, **more: encode(
            index, "twice" if index in (2, 9) else name, *rest, **more
        ),
    )
    make_cache(tmp_path)
    (problem,) = find_problems(tmp_path)
    assert str(problem) == f"{tmp_path}: 2 examples have the id 'twice'"


def test_number_of_tokens(tmp_path):
    path = make_cache(tmp_path) / "manifest.json"
    record = fileio.read_json(path)
    record["shards"][1]["tokens"] += 1
    record.pop("digest")
    fileio.write_json(path, {**record, "digest": fileio.value_digest(record)})
    tokens = sum(LENGTHS[4:8])
    assert problems_of(tmp_path) == [
        (
            "hidden_states-00001.tfrecord",
            None,
            f"has {tokens} tokens, the manifest says {tokens + 1}",
        )
    ]
    with pytest.raises(CacheError, match=f"{tokens} tokens.* {tokens + 1}"):
        HiddenStateCache(tmp_path).labels()


def test_a_stopped_check_reads_no_further(tmp_path, monkeypatch):
    make_cache(tmp_path)
    calls = forbid(monkeypatch, verify, "_repeated_ids")

    class Stop(BaseException):
        pass

    def stop(check, event):
        raise Stop

    monkeypatch.setattr(verify.ShardCheck, "run", stop)
    with pytest.raises(Stop):
        find_problems(tmp_path)
    assert calls == []
