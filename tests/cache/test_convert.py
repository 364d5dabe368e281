import itertools
import shutil

import numpy as np
import pytest

from bvkeras import fileio
from bvkeras.cache import shards
from bvkeras.cache.convert import convert_cache
from bvkeras.cache.format import DTYPES, Manifest
from bvkeras.cache.quantization import dequantize, quantize
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.errors import ArgumentError, CacheError, RunError
from tests.cache import made_caches
from tests.cache.made_caches import made_arrays, make_cache
from tests.tiny_runs import fail_at_call, forbid

EXTRAS = ("token_ids", "offsets")


def rows(cache, dtype=None):
    return list(cache.records(dtype).as_numpy_iterator())


def assert_same_records(one, other, dtype=None):
    for first, second in zip(rows(one, dtype), rows(other, dtype), strict=True):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(
    ("stored", "dtype"), list(itertools.permutations(DTYPES, 2))
)
def test_values(tmp_path, stored, dtype):
    make_cache(tmp_path / "old", dtype=stored, extras=EXTRAS)
    new = convert_cache(tmp_path / "old", tmp_path / "new", dtype=dtype)
    assert find_problems(tmp_path / "new") == []
    old = HiddenStateCache(tmp_path / "old")
    assert new.manifest.identity == {
        **old.manifest.identity,
        "dtype": dtype,
        "converted_from": [stored],
    }
    given = "int8" if stored == "int8" else None
    for before, after in zip(
        rows(old, given),
        rows(new, "int8" if dtype == "int8" else None),
        strict=True,
    ):
        values = before.pop("hidden_states")
        if stored == "int8":
            values = dequantize(values, before.pop("scales")).numpy()
        found = after.pop("hidden_states")
        if dtype == "int8":
            expected, scales = quantize(values.astype(np.float32))
            np.testing.assert_array_equal(after.pop("scales"), scales)
        else:
            expected = values.astype(DTYPES[dtype])
        assert found.dtype == DTYPES[dtype]
        np.testing.assert_array_equal(found, expected)
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])


def test_int8_of_float32_is_as_if_it_had_been_extracted(tmp_path):
    make_cache(tmp_path / "float32")
    make_cache(tmp_path / "int8", dtype="int8")
    new = convert_cache(tmp_path / "float32", tmp_path / "new", dtype="int8")
    assert_same_records(new, HiddenStateCache(tmp_path / "int8"), "int8")


def test_int8_of_bfloat16_is_within_both_roundings(tmp_path):
    make_cache(tmp_path / "old", dtype="bfloat16")
    new = convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")
    for row, states in zip(rows(new, "int8"), made_arrays(), strict=True):
        restored = row["hidden_states"] * row["scales"][..., None]
        bound = row["scales"][..., None] / 2 + np.abs(states) * 2**-8
        assert (np.abs(restored - states) <= 1.001 * bound).all()


def test_a_second_conversion_says_both(tmp_path):
    make_cache(tmp_path / "a", dtype="float32")
    convert_cache(tmp_path / "a", tmp_path / "b", dtype="bfloat16")
    last = convert_cache(tmp_path / "b", tmp_path / "c", dtype="int8")
    assert last.manifest.identity["converted_from"] == ["float32", "bfloat16"]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("layers", [[0], [2, 0], [1, 2]])
def test_fewer_layers(tmp_path, dtype, layers):
    make_cache(tmp_path / "old", dtype=dtype, extras=EXTRAS)
    new = convert_cache(tmp_path / "old", tmp_path / "new", layers=layers)
    assert find_problems(tmp_path / "new") == []
    old = HiddenStateCache(tmp_path / "old")
    # As if it had been extracted so: the type is the same.
    assert new.manifest.identity == {**old.manifest.identity, "layers": layers}
    assert new.num_layers == len(layers)
    asked = "int8" if dtype == "int8" else None
    for before, after in zip(rows(old, asked), rows(new, asked), strict=True):
        for name in before:
            expected = before[name]
            if name in ("hidden_states", "scales"):
                expected = expected[:, layers]
            np.testing.assert_array_equal(after[name], expected)


def test_layers_are_numbered_as_the_encoder_does(tmp_path):
    make_cache(tmp_path / "old")
    convert_cache(tmp_path / "old", tmp_path / "two", layers=[0, 2])
    last = convert_cache(tmp_path / "two", tmp_path / "one", layers=[2])
    assert last.manifest.identity["layers"] == [2]
    for row, states in zip(rows(last), made_arrays(), strict=True):
        np.testing.assert_array_equal(row["hidden_states"], states[:, [2]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"dtype, layers: .* has float32 and \[0, 1, 2\] already"),
        ({"dtype": "float32"}, "dtype, layers: .* already"),
        ({"layers": [0, 1, 2]}, "dtype, layers: .* already"),
        ({"dtype": "int4"}, "dtype: expected one of .*got 'int4'"),
        ({"layers": [3]}, r"layers: expected some of \[0, 1, 2\].*got \[3\]"),
        ({"layers": [0, 0]}, r"layers: .*each once, got \[0, 0\]"),
        ({"layers": []}, r"layers: .*got \[\]"),
        ({"layers": [-1]}, r"layers: .*got \[-1\]"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    make_cache(tmp_path / "old")
    with pytest.raises(ArgumentError, match=message):
        convert_cache(tmp_path / "old", tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_target_that_is_not_local(tmp_path):
    make_cache(tmp_path / "old")
    with pytest.raises(ArgumentError, match=r"target: .*got ram://x"):
        convert_cache(tmp_path / "old", "ram://x", dtype="int8")


def test_value_that_float16_cannot_hold(tmp_path, monkeypatch):
    arrays = made_arrays()
    arrays[5][2, 1, 0] = 65520
    monkeypatch.setattr(made_caches, "made_arrays", lambda *sizes: arrays)
    make_cache(tmp_path / "old")
    with pytest.raises(CacheError) as error:
        convert_cache(tmp_path / "old", tmp_path / "new", dtype="float16")
    assert str(error.value) == (
        f"{tmp_path / 'old'}: example 'zoë-5' has a hidden state that float16 "
        "cannot hold"
    )
    with pytest.raises(CacheError, match="unfinished"):
        HiddenStateCache(tmp_path / "new")


class _Stop(BaseException):
    pass


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("name", ["write_shard", "Manifest.write"])
def test_stopped_conversion_goes_on(tmp_path, monkeypatch, name, call):
    make_cache(tmp_path / "old", dtype="bfloat16")
    whole = convert_cache(tmp_path / "old", tmp_path / "whole", dtype="int8")
    owner = Manifest if "." in name else shards
    with monkeypatch.context() as patch:
        fail_at_call(patch, owner, name.split(".")[-1], call, _Stop)
        with pytest.raises(_Stop):
            convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")
    with monkeypatch.context() as patch:
        calls = fail_at_call(patch, shards, "write_shard", 99, _Stop)
        new = convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")
    # Finished shards are not written again.
    assert len(calls) == 4 - call
    assert new.manifest.shards == whole.manifest.shards
    assert find_problems(tmp_path / "new") == []


def test_finished_conversion_is_opened(tmp_path, monkeypatch):
    make_cache(tmp_path / "old")
    convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")
    forbid(monkeypatch, shards, "write_shard")
    assert len(convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8"))


def test_folder_of_something_else(tmp_path):
    make_cache(tmp_path / "old")
    make_cache(tmp_path / "new", dtype="bfloat16")
    with pytest.raises(RunError, match="made with dtype = "):
        convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")


def test_folder_that_another_process_writes(tmp_path):
    make_cache(tmp_path / "old")
    with (
        fileio.directory_lock(tmp_path / "new"),
        pytest.raises(RunError, match="in use by another"),
    ):
        convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")


def test_going_on_from_other_shards_is_refused(tmp_path, monkeypatch):
    make_cache(tmp_path / "old", shard_records=4)
    make_cache(tmp_path / "other", shard_records=3)
    with monkeypatch.context() as patch:
        fail_at_call(patch, shards, "write_shard", 2, _Stop)
        with pytest.raises(_Stop):
            convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")
    with pytest.raises(CacheError, match="was begun from another cache"):
        convert_cache(tmp_path / "other", tmp_path / "new", dtype="int8")


def test_damaged_source_is_named(tmp_path):
    path = make_cache(tmp_path / "old") / "hidden_states-00001.tfrecord"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CacheError, match=r"00001\.tfrecord, record 3 "):
        convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")
    assert len(Manifest.read(tmp_path / "new").shards) == 1


def test_source_is_left_as_it_was(tmp_path):
    make_cache(tmp_path / "old")
    before = shutil.copytree(tmp_path / "old", tmp_path / "before")
    convert_cache(tmp_path / "old", tmp_path / "new", dtype="int8")
    for path in (tmp_path / "old").iterdir():
        assert path.read_bytes() == (before / path.name).read_bytes()
