"""Batches that the native library makes, against those made without it."""

import shutil

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.cache.format import DTYPES
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import naming_damage
from bvkeras.errors import CacheError
from bvkeras.ops import library
from tests.cache.made_caches import make_cache
from tests.native import require_native


@pytest.fixture(autouse=True)
def _native(monkeypatch):
    require_native()
    monkeypatch.delenv("BVKERAS_IMPLEMENTATION", raising=False)


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    root = tmp_path_factory.mktemp("native")
    return {
        dtype: HiddenStateCache(make_cache(root / dtype, dtype=dtype))
        for dtype in DTYPES
    }


def _operations(dataset):
    """Names of all operations that make a dataset."""
    graph = tf.compat.v1.GraphDef.FromString(
        dataset._as_serialized_graph().numpy()
    )
    functions = graph.library.function
    return {node.op for function in functions for node in function.node_def}


@pytest.mark.parametrize(
    ("place", "operation"),
    [("disk", "BvkerasReadRecords"), ("memory", "BvkerasGatherTokens")],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits(caches, place, operation, dtype, monkeypatch):
    cache = caches[dtype] if place == "disk" else caches[dtype].load()

    def batches():
        dataset = cache.batches(3, shuffle=True, seed=5, dtype=dtype)
        return list(dataset), _operations(dataset)

    native, operations = batches()
    assert operation in operations
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    plain, operations = batches()
    assert operation not in operations
    assert len(native) == len(plain) == 4
    for one, other in zip(native, plain, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            first, second = one[name].numpy(), other[name].numpy()
            assert first.dtype == second.dtype
            assert first.shape == second.shape
            if name == "id":
                assert first.tolist() == second.tolist()
            else:
                assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_every_changed_byte_of_a_record_is_found(caches, tmp_path, dtype):
    path = shutil.copytree(caches[dtype].directory, tmp_path / "copy")
    cache = HiddenStateCache(path)
    index = cache.index
    shard = path / cache.manifest.shards[0].file
    content = shard.read_bytes()
    # From the message on: the 12 bytes before it were checked on opening.
    first = int(index.starts[0]) + 12
    places = range(first, int(index.starts[1]))
    for place in places[:: max(1, len(places) // 40)]:
        changed = bytearray(content)
        changed[place] ^= 0x10
        shard.write_bytes(changed)
        with pytest.raises(CacheError) as error, naming_damage(cache):
            list(cache.as_dataset(2).take(1))
        assert "record 0 (example 'zoë-0')" in str(error.value)
    shard.write_bytes(content)
    assert len(list(cache.as_dataset(2))) == 6


def test_shard_cut_after_opening(caches, tmp_path):
    path = shutil.copytree(caches["bfloat16"].directory, tmp_path / "copy")
    cache = HiddenStateCache(path)
    shard = path / cache.manifest.shards[0].file
    cut = shard.stat().st_size - int(cache.index.starts[1]) // 2
    dataset = cache.as_dataset(2)
    with open(shard, "r+b") as file:
        file.truncate(cut)
    with pytest.raises(CacheError) as error, naming_damage(cache):
        list(dataset)
    assert "not those written" in str(error.value)


def _read(**changes):
    arguments = {
        "paths": ["/nowhere"],
        "places": np.array([[0, 0, 100, 10, 0]]),
        "lengths": np.array([2]),
        "rows": np.array([0]),
        "T": tf.float32,
        "layers": 2,
        "features": 3,
        **changes,
    }
    return library.load().bvkeras_read_records(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.array([1])}, "rows: received 1, expected 0 to 0"),
        ({"rows": np.array([-1])}, "rows: received -1"),
        ({"lengths": np.array([-2])}, "lengths: received -2"),
        ({"lengths": np.array([5])}, "places: not inside a record"),
        ({"places": np.array([[1, 0, 100, 10, 0]])}, "not inside a record"),
        ({"places": np.array([[0, 0, 100, -1, 0]])}, "not inside a record"),
        ({"places": np.zeros((1, 4), np.int64)}, "places: received shape"),
        (
            {"T": tf.int8, "places": np.array([[0, 0, 30, 10, 15]])},
            "not inside a record",
        ),
        ({}, "/nowhere: No such file"),
    ],
)
def test_wrong_arguments_of_reading(changes, message):
    with pytest.raises(tf.errors.OpError, match=message):
        _read(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.array([2])}, "rows: received 2, expected 0 to 1"),
        ({"starts": np.array([0, 9])}, "starts: received 9 for 2 of 10"),
        ({"starts": np.array([0, -1])}, "starts: received -1"),
        ({"starts": np.array([0])}, "starts: received shape"),
    ],
)
def test_wrong_arguments_of_gathering(changes, message):
    arguments = {
        "tokens": np.zeros((10, 3), np.uint16),
        "starts": np.array([0, 5]),
        "lengths": np.array([3, 2]),
        "rows": np.array([0, 1]),
        **changes,
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.load().bvkeras_gather_tokens(**arguments)


def _record(message):
    """What a shard has of a message; the 12 bytes in front are not read."""
    crc = google_crc32c.value(message)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return bytes(12) + message + masked.to_bytes(4, "little")


def test_messages_of_all_lengths(tmp_path):
    """The CRC takes eight bytes at a step, then one by one."""
    random = np.random.default_rng(0)
    for front in range(17):
        values = random.normal(size=(2, 3)).astype(np.float32)
        message = random.bytes(front) + values.tobytes() + random.bytes(front)
        path = tmp_path / str(front)
        path.write_bytes(_record(message))
        read, scales, mask = _read(
            paths=[str(path)],
            places=np.array([[0, 0, len(message), front, 0]]),
            lengths=np.array([1]),
        )
        assert read.numpy().tobytes() == values.tobytes()
        assert scales.shape == (1, 1, 0)
        assert mask.numpy().tolist() == [[True]]


@pytest.mark.parametrize("dtype", [tf.float32, tf.int8])
@pytest.mark.parametrize("rows", [[], [0], [0, 0]])
def test_reading_no_tokens(rows, dtype, tmp_path):
    path = tmp_path / "shard"
    path.write_bytes(_record(b"front"))
    values, scales, mask = _read(
        paths=[str(path)],
        places=np.array([[0, 0, 5, 5, 5]]),
        lengths=np.array([0]),
        rows=np.array(rows, np.int64),
        T=dtype,
    )
    assert values.shape == (len(rows), 0, 2, 3)
    assert scales.shape == (len(rows), 0, 2 if dtype == tf.int8 else 0)
    assert mask.shape == (len(rows), 0)


@pytest.mark.parametrize("item", [(), (0,), (3,)])
@pytest.mark.parametrize(
    ("lengths", "rows"),
    [([], []), ([0], []), ([2], []), ([0], [0]), ([0, 2], [0]), ([0, 0], [1])],
)
def test_gathering_no_tokens(lengths, rows, item):
    num_tokens = sum(lengths)
    padded, mask = library.load().bvkeras_gather_tokens(
        tokens=np.ones((num_tokens, *item), np.uint16),
        starts=np.zeros(len(lengths), np.int64),
        lengths=np.array(lengths, np.int64),
        rows=np.array(rows, np.int64),
    )
    assert padded.shape == (len(rows), 0, *item)
    assert mask.shape == (len(rows), 0)


def test_sizes_beyond_all_memory_are_refused():
    lengths = np.array([2**62, 2**62])
    with pytest.raises(tf.errors.InvalidArgumentError):
        library.load().bvkeras_gather_tokens(
            tokens=np.ones(3, np.uint16),
            starts=np.zeros(2, np.int64),
            lengths=lengths,
            rows=np.array([0, 1, 0, 1]),
        )
    with pytest.raises(tf.errors.InvalidArgumentError):
        _read(
            lengths=lengths, rows=np.array([0, 1]), places=np.zeros((2, 5), int)
        )
