"""Batches from disk and from memory, against records taken one by one."""

import itertools
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from bvkeras.cache import batch_plan, memory, reader, token_arrays
from bvkeras.cache.format import DTYPES
from bvkeras.cache.quantization import dequantize
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.storage import RandomAccessFile
from bvkeras.cache.verify import naming_damage
from bvkeras.errors import ArgumentError, CacheError
from tests.cache.made_caches import (
    LENGTHS,
    made_arrays,
    made_extras,
    make_cache,
)

EXTRAS = ("token_ids", "offsets")


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """One cache of each type, with extras, opened."""
    root = tmp_path_factory.mktemp("caches")
    return {
        dtype: HiddenStateCache(
            make_cache(root / dtype, dtype=dtype, extras=EXTRAS)
        )
        for dtype in DTYPES
    }


@pytest.fixture(params=["disk", "disk, plain", "memory", "memory, plain"])
def source(request, monkeypatch):
    """Makes of a cache on disk what is tested.

    Natively where the library is built, and without it.
    """
    place, _, plain = request.param.partition(", ")
    if plain:
        monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    return (lambda c: c) if place == "disk" else (lambda c: c.load())


def plain_records(cache):
    """What the shards hold, read as any TensorFlow program can."""
    paths = [
        str(cache.directory / shard.file) for shard in cache.manifest.shards
    ]
    for raw in tf.data.TFRecordDataset(paths).as_numpy_iterator():
        features = tf.train.Example.FromString(raw).features.feature
        length = features["length"].int64_list.value[0]
        values = np.frombuffer(
            features["hidden_states"].bytes_list.value[0], DTYPES[cache.dtype]
        ).reshape(length, cache.num_layers, cache.hidden_dim)
        if cache.dtype == "int8":
            scales = np.frombuffer(
                features["scales"].bytes_list.value[0], np.float32
            ).reshape(length, cache.num_layers)
            yield values, scales
        else:
            yield values, None


def passes(dataset, number=1):
    """The indices of each batch, pass after pass."""
    return [
        [batch["index"].tolist() for batch in dataset.as_numpy_iterator()]
        for _ in range(number)
    ]


def _record_rows(cache, monkeypatch):
    """A list that gets every row read from the disk, by Python."""
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    read, original = [], cache.record_reader.read

    def counted(records):
        records = list(records)
        read.extend(int(row) for row, _ in records)
        original(records)

    monkeypatch.setattr(cache.record_reader, "read", counted)
    return read


def _assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name in one:
        first, second = one[name].numpy(), other[name].numpy()
        assert first.dtype == second.dtype
        if name == "id":
            assert first.tolist() == second.tolist()
        else:
            assert first.tobytes() == second.tobytes()


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


@pytest.mark.parametrize(
    ("dtype", "batch_size"),
    [*((dtype, 4) for dtype in DTYPES), ("int8", 1), ("bfloat16", 12)],
)
def test_batches_hold_what_the_shards_hold(caches, source, dtype, batch_size):
    cache = caches[dtype]
    asked = "int8" if dtype == "int8" else None
    expected = list(plain_records(cache))
    seen = []
    for batch in source(cache).batches(batch_size, dtype=asked):
        batch = {name: values.numpy() for name, values in batch.items()}
        tokens = batch["length"].max()
        assert batch["hidden_states"].shape[1:] == (tokens, 3, 5)
        assert batch["hidden_states"].dtype == DTYPES[dtype]
        for place, row in enumerate(batch["index"]):
            values, scales = expected[row]
            n = len(values)
            states = batch["hidden_states"][place]
            assert states[:n].tobytes() == values.tobytes()
            assert not states[n:].astype(np.float32).any()
            assert batch["mask"][place].tolist() == [True] * n + [False] * (
                tokens - n
            )
            if scales is not None:
                assert (batch["scales"][place, :n] == scales).all()
                assert not batch["scales"][place, n:].any()
            for name, kept in made_extras(row, n).items():
                assert (batch[name][place, :n] == kept).all()
                assert not batch[name][place, n:].any()
            assert batch["id"][place].decode() == f"zoë-{row}"
            assert batch["label"][place] == row % 3
            assert batch["length"][place] == n
            seen.append(row)
    assert seen == list(range(11))


@pytest.mark.parametrize("asked", [None, "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("stored", DTYPES)
def test_decoded_types(caches, stored, asked):
    cache = caches[stored].load()
    given = asked or ("bfloat16" if stored == "int8" else stored)
    ((states, mask), _) = next(iter(cache.as_dataset(11, dtype=asked)))
    assert states.dtype == given
    for row, (values, scales) in enumerate(plain_records(caches[stored])):
        if scales is not None:
            values = dequantize(values, scales, given).numpy()
        n = int(tf.reduce_sum(tf.cast(mask[row], tf.int32)))
        assert n == LENGTHS[row]
        np.testing.assert_array_equal(
            states[row, :n].numpy(), values.astype(DTYPES[given])
        )


def test_int8_comes_with_its_scales(caches, source):
    dataset = source(caches["int8"]).as_dataset(11, dtype="int8")
    ((values, scales), mask), labels = next(dataset.as_numpy_iterator())
    assert (values.dtype, scales.dtype) == (np.int8, np.float32)
    assert values.shape == (11, 16, 3, 5)
    assert scales.shape == (*mask.shape, 3)
    restored = values * scales[..., None]
    for row, states in enumerate(made_arrays()):
        error = np.abs(restored[row, : len(states)] - states)
        assert (error <= 0.5001 * scales[row, : len(states), :, None]).all()
    assert labels.tolist() == [row % 3 for row in range(11)]


@pytest.mark.parametrize("dtype", ["int4", "int8", "float64", ""])
@pytest.mark.parametrize("method", ["as_dataset", "batches"])
def test_type_that_cannot_be_had(caches, source, method, dtype):
    with pytest.raises(ArgumentError, match=f"dtype: .*got '{dtype}'"):
        getattr(source(caches["float32"]), method)(4, dtype=dtype)


def test_static_shapes(caches, source):
    (states, mask), labels = (
        source(caches["bfloat16"]).as_dataset(4).element_spec
    )
    assert states == tf.TensorSpec((None, None, 3, 5), tf.bfloat16)
    assert mask == tf.TensorSpec((None, None), tf.uint8)
    assert labels == tf.TensorSpec((None,), tf.int64)


def test_memory_and_disk_give_the_same_bits_in_the_same_order(caches):
    cache = caches["bfloat16"]
    arguments = {"shuffle": True, "seed": 5, "bucket": True, "shard": (1, 2)}
    datasets = [c.batches(2, **arguments) for c in (cache, cache.load())]
    for _ in range(3):
        for one, other in zip(*datasets, strict=True):
            _assert_same_bits(one, other)


@pytest.mark.parametrize(
    ("shuffle", "bucket"),
    [
        (False, False),
        pytest.param(False, True, marks=pytest.mark.full),
        pytest.param(True, False, marks=pytest.mark.full),
        (True, True),
    ],
)
def test_every_pass_has_every_example_once(caches, source, shuffle, bucket):
    dataset = source(caches["float32"]).batches(
        3, shuffle=shuffle, bucket=bucket
    )
    assert dataset.cardinality().numpy() == 4
    orders = passes(dataset, 3)
    for order in orders:
        assert sorted(flat(order)) == list(range(11))
        assert sorted(map(len, order)) == [2, 3, 3, 3]
    assert (orders[0] == orders[1] == orders[2]) is not shuffle


@pytest.mark.parametrize("bucket", [False, True])
def test_order_depends_on_the_seed_alone(caches, bucket):
    cache = caches["float32"]

    def orders(seed, global_seed):
        tf.random.set_seed(global_seed)
        dataset = cache.batches(3, shuffle=True, seed=seed, bucket=bucket)
        return passes(dataset, 3)

    assert orders(1, 10) == orders(1, 11)
    assert orders(1, 10) != orders(2, 10)


def test_every_place_is_as_likely():
    plan = batch_plan.BatchPlan(np.ones(11, np.int64), 11, shuffle=True)
    counts = np.zeros((11, 11), int)
    for number in range(2000):
        (order,) = plan.batches(number)
        counts[order, range(11)] += 1
    # 2000 draws at 1/11: mean 182, standard deviation 13.
    assert counts.min() > 117
    assert counts.max() < 247


def test_buckets_are_sorted_within_a_group(caches, monkeypatch):
    monkeypatch.setattr(batch_plan, "_BATCHES_SORTED_TOGETHER", 2)
    (order,) = passes(caches["float32"].batches(3, bucket=True))
    lengths = [[LENGTHS[row] for row in batch] for batch in order]
    assert lengths == [[1, 3, 5], [5, 7, 12], [2, 4, 6], [9, 16]]


def test_buckets_have_little_padding():
    lengths = np.random.default_rng(0).integers(4, 128, 5000)

    def padding(bucket):
        plan = batch_plan.BatchPlan(lengths, 32, True, bucket=bucket)
        batches = plan.batches(1)
        padded = sum(len(b) * lengths[b].max() for b in batches)
        return padded / lengths.sum() - 1

    assert padding(False) > 0.5
    assert padding(True) < 0.1


@pytest.mark.parametrize(
    ("count", "bucket"),
    [
        (2, False),
        (3, True),
        pytest.param(2, True, marks=pytest.mark.full),
        pytest.param(3, False, marks=pytest.mark.full),
    ],
)
def test_shards_are_disjoint_and_cover(caches, source, count, bucket):
    cache = source(caches["float32"])
    datasets = []
    for number in range(count):
        tf.random.set_seed(number)
        datasets.append(
            cache.batches(2, shuffle=True, bucket=bucket, shard=(number, count))
        )
    parts = [passes(dataset, 2) for dataset in datasets]
    for turn in range(2):
        rows = [flat(part[turn]) for part in parts]
        assert sorted(flat(rows)) == list(range(11))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1
    # What a worker gets changes from pass to pass.
    if count == 2:
        assert set(flat(parts[0][0])) != set(flat(parts[0][1]))


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(0, marks=pytest.mark.full),
        1,
        pytest.param(3, marks=pytest.mark.full),
        4,
    ],
)
def test_start_leaves_out_the_first_batches(caches, source, start):
    cache = source(caches["float32"])
    whole = passes(cache.batches(3, shuffle=True, seed=4), 2)
    dataset = cache.batches(3, shuffle=True, seed=4, start=start)
    assert dataset.cardinality().numpy() == 4 - start
    assert passes(dataset, 2) == [order[start:] for order in whole]


def test_start_does_not_read_what_it_leaves_out(caches, monkeypatch):
    cache = HiddenStateCache(caches["float32"].directory)
    read = _record_rows(cache, monkeypatch)
    assert passes(cache.batches(3, start=2)) == [[[6, 7, 8], [9, 10]]]
    assert sorted(read) == [6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("done", "bucket"),
    [
        pytest.param(0, True, marks=pytest.mark.full),
        (1, False),
        pytest.param(4, True, marks=pytest.mark.full),
        pytest.param(5, False, marks=pytest.mark.full),
        (7, True),
    ],
)
def test_iterator_goes_on_from_its_checkpoint(
    caches, source, tmp_path, done, bucket
):
    def dataset():
        return (
            source(caches["bfloat16"])
            .batches(3, shuffle=True, seed=2, bucket=bucket)
            .repeat(3)
        )

    expected = [batch["index"].numpy().tolist() for batch in dataset()]
    iterator = iter(dataset())
    for _ in range(done):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "it"))
    tf.random.set_seed(99)
    again = iter(dataset())
    tf.train.Checkpoint(iterator=again).read(path)
    assert [b["index"].numpy().tolist() for b in again] == expected[done:]


def test_restored_iterator_does_not_read_what_it_skips(tmp_path, monkeypatch):
    path = make_cache(tmp_path / "cache", lengths=(2,) * 60, shard_records=20)
    iterator = iter(HiddenStateCache(path).batches(1))
    for _ in range(30):
        next(iterator)
    saved = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "it"))
    cache = HiddenStateCache(path)
    read = _record_rows(cache, monkeypatch)
    again = iter(cache.batches(1))
    tf.train.Checkpoint(iterator=again).read(saved)
    indices = [int(batch["index"][0]) for batch in again]
    assert indices == list(range(30, 60))
    assert min(read) >= 30


def test_iterator_is_kept_between_passes(caches, tmp_path):
    def dataset():
        return caches["float32"].batches(3, shuffle=True)

    first = dataset()
    expected = passes(first, 3)
    second = dataset()
    passes(second)
    iterator = iter(second)
    for _ in range(4):
        next(iterator)
    # All batches are taken, but the end was not asked for.
    saved = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "it"))
    third = dataset()
    again = iter(third)
    tf.train.Checkpoint(iterator=again).read(saved)
    assert list(again) == []
    assert passes(third) == expected[2:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"shard": (2, 2)}, r"shard: .*got \(2, 2\)"),
        ({"shard": (-1, 2)}, r"shard: .*got \(-1, 2\)"),
        ({"shard": (0, 0)}, r"shard: .*got \(0, 0\)"),
        ({"shard": (0, 12)}, r"shard: .*11 examples, got \(0, 12\)"),
        ({"start": -1}, "start: expected 0 to 4 batches, got -1"),
        ({"start": 5}, "start: expected 0 to 4 batches, got 5"),
        ({"seed": -1}, "seed: .*got -1"),
    ],
)
def test_wrong_arguments(caches, source, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        source(caches["float32"]).as_dataset(**{"batch_size": 3, **arguments})


def test_small_columns_come_without_hidden_states(caches, monkeypatch):
    cache = HiddenStateCache(caches["float32"].directory)
    monkeypatch.setattr(type(cache.record_reader), "read", None)
    assert cache.lengths().tolist() == list(LENGTHS)
    assert cache.ids() == [f"zoë-{i}" for i in range(11)]
    assert cache.labels().tolist() == [i % 3 for i in range(11)]


def test_index_reads_little_of_long_records(tmp_path, monkeypatch):
    path = make_cache(
        tmp_path, lengths=(200,) * 8, max_tokens=200, hidden_dim=256
    )
    cache = HiddenStateCache(path)
    sizes = []
    original = RandomAccessFile.read

    def counted(self, offset, num_bytes):
        data = original(self, offset, num_bytes)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(RandomAccessFile, "read", counted)
    assert cache.lengths().tolist() == [200] * 8
    assert sum(sizes) < 0.02 * cache.num_bytes


@pytest.mark.parametrize("regression", [False, True])
def test_label_types(tmp_path, source, regression):
    cache = source(
        HiddenStateCache(make_cache(tmp_path, regression=regression))
    )
    labels = cache.labels()
    assert labels.dtype == (np.float32 if regression else np.int64)
    batch = next(cache.as_dataset(11).as_numpy_iterator())
    np.testing.assert_array_equal(batch[1], labels)


def test_to_numpy(caches, source):
    arrays = source(caches["float16"]).to_numpy("float32")
    assert arrays["hidden_states"].shape == (11, 16, 3, 5)
    assert arrays["hidden_states"].dtype == np.float32
    assert arrays["label"].tolist() == [i % 3 for i in range(11)]
    for row, states in enumerate(made_arrays()):
        np.testing.assert_array_equal(
            arrays["hidden_states"][row, : len(states)],
            states.astype(np.float16),
        )


def test_cache_larger_than_memory_is_not_loaded(caches, monkeypatch):
    cache = caches["float32"]
    monkeypatch.setattr(
        memory, "available_memory", lambda: 2 * cache.loaded_bytes - 1
    )
    with pytest.raises(CacheError) as error:
        cache.load()
    assert str(error.value) == (
        f"{cache.directory} takes 0.0 GB of memory, more than 50% of the 0.0 "
        "GB available; read it from disk with as_dataset"
    )
    assert cache.load_if_it_fits() is cache
    assert len(cache.load(1.0)) == 11
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    with pytest.raises(CacheError, match="the padded array takes"):
        cache.to_numpy()


def test_loaded_bytes_are_what_is_there(caches):
    tokens = sum(LENGTHS) + 1
    assert caches["int8"].loaded_bytes == tokens * (3 * 5 + 3 * 4 + 3 * 8)


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_impossible_share_of_memory(caches, share):
    with pytest.raises(ArgumentError, match=f"memory_share: .*{share}"):
        caches["float32"].load(share)


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", "5", 1000),
        ("700", "100", 600),
        ("5000", "1", 1000),
        ("5", "9", 0),
    ],
)
def test_a_container_s_limit_counts(
    tmp_path, monkeypatch, limit, used, expected
):
    class Memory:
        available = 1000

    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(memory.psutil, "virtual_memory", Memory)
    assert memory.available_memory() == expected


def test_both_go_into_fit_and_learn_the_same(caches):
    def weights(source):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.layers.Flatten(), keras.layers.Dense(3)]
        )
        dataset = source.as_dataset(4, shuffle=True, bucket=True)
        dataset = dataset.map(
            lambda inputs, label: (
                tf.reduce_sum(tf.cast(inputs[0], tf.float32), axis=1),
                label,
            )
        )
        model.compile(
            "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.fit(dataset, epochs=3, verbose=0)
        return model.get_weights()

    cache = caches["bfloat16"]
    for one, other in zip(weights(cache), weights(cache.load()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_any_path_that_tensorflow_reads(caches):
    cache = caches["int8"]
    folder = "ram://reading/cache"
    tf.io.gfile.makedirs(folder)
    for path in cache.directory.iterdir():
        tf.io.gfile.copy(str(path), f"{folder}/{path.name}", overwrite=True)
    remote = HiddenStateCache(folder)
    assert remote.ids() == cache.ids()
    for loaded in (remote, remote.load()):
        for one, other in zip(
            loaded.batches(4, shuffle=True),
            cache.batches(4, shuffle=True),
            strict=True,
        ):
            _assert_same_bits(one, other)
    with pytest.raises(
        CacheError, match=r"ram://no.* it has no manifest\.json"
    ):
        HiddenStateCache("ram://no/cache")


def test_long_loading_can_be_watched(caches, monkeypatch, capsys):
    caches["float32"].load()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(reader, "_SHOWN_BYTES", 1)
    caches["float32"].load()
    assert capsys.readouterr().err.startswith("load: 11/11 examples")


def test_loaded_bytes_are_not_copied(caches, monkeypatch):
    made = []

    def remembered(count):
        made.append(token_arrays.aligned_bytes(count))
        return made[-1]

    monkeypatch.setattr(reader, "aligned_bytes", remembered)
    loaded = caches["bfloat16"].load()
    addresses = {
        np.asarray(memoryview(tensor)).ctypes.data
        for tensor in loaded._arrays.values()
    }
    assert addresses == {array.ctypes.data for array in made}


@pytest.mark.usefixtures("each_implementation")
def test_shard_that_vanishes_is_named(caches, tmp_path):
    path = shutil.copytree(caches["float32"].directory, tmp_path / "copy")
    cache = HiddenStateCache(path)
    dataset = cache.as_dataset(4)
    (path / "hidden_states-00001.tfrecord").unlink()
    with pytest.raises(FileNotFoundError) as error, naming_damage(cache):
        list(dataset)
    assert "hidden_states-00001.tfrecord" in str(error.value)


@pytest.mark.usefixtures("each_implementation")
def test_record_damaged_after_opening_is_named(caches, tmp_path):
    path = shutil.copytree(caches["float32"].directory, tmp_path / "copy")
    cache = HiddenStateCache(path)
    dataset = cache.as_dataset(4)
    shard = path / "hidden_states-00001.tfrecord"
    content = bytearray(shard.read_bytes())
    place = int(cache.index.starts[5]) + 100
    content[place] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CacheError) as error, naming_damage(cache):
        list(dataset)
    assert str(error.value) == (
        f"{shard}, record 1 (example 'zoë-5'): its bytes are not those written"
    )
    with pytest.raises(CacheError, match="record 1 "):
        cache.load()
    # Batches without it can be read.
    assert len(list(cache.as_dataset(4, start=2))) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_empty_batch_that_is_read_ahead(caches, source, dtype):
    rows = tf.zeros((0,), tf.int64)
    cache = source(caches[dtype])
    for with_extras in (False, True):
        arrays, mask = tf.function(cache._rows)(rows, with_extras)
        assert arrays["hidden_states"].shape == (0, 0, 3, 5)
        assert mask.shape == (0, 0)
    assert arrays["offsets"].shape == (0, 0, 2)
