import dataclasses

import pytest

from bvkeras.cache.convert import convert_cache
from bvkeras.cache.format import Manifest
from bvkeras.cache.info import describe_cache
from bvkeras.errors import CacheError
from tests.cache.made_caches import LENGTHS, make_cache


def test_what_is_told(tmp_path):
    make_cache(tmp_path, dtype="bfloat16", extras=("token_ids",))
    told = describe_cache(tmp_path)
    assert told["task and split"] == "sst2, train"
    assert told["examples"] == "11"
    assert told["labels"] == "classes"
    assert told["tokens"] == f"{sum(LENGTHS)}, 6.4 an example, at most 16"
    assert told["hidden states"] == "layers 0 to 2 x 5 features"
    assert told["stored as"] == "bfloat16"
    assert told["also kept"] == "token_ids"
    files = list(tmp_path.glob("*.tfrecord"))
    num_bytes = sum(path.stat().st_size for path in files)
    assert told["size"] == f"{num_bytes / 1e6:.1f} MB in 3 shards"
    padded = 11 * 16 * 3 * 5 * 4
    assert told["padded float32"] == (
        f"0.0 MB at 16 tokens, {padded / num_bytes:.1f} times as much"
    )
    assert told["encoder"] == f"SHA-256 {'e' * 16}…"
    assert "state" not in told


def test_converted_cache(tmp_path):
    make_cache(tmp_path / "a", regression=True)
    convert_cache(tmp_path / "a", tmp_path / "b", dtype="float16")
    convert_cache(tmp_path / "b", tmp_path / "c", dtype="int8", layers=[0, 2])
    told = describe_cache(tmp_path / "c")
    assert told["stored as"] == "int8 made of float16 made of float32"
    assert told["hidden states"] == "layers 0, 2 x 5 features"
    assert told["labels"] == "scores"


def test_unfinished_cache(tmp_path):
    make_cache(tmp_path)
    manifest = Manifest.read(tmp_path)
    for shards in (manifest.shards[:1], ()):
        dataclasses.replace(manifest, shards=shards, complete=False).write(
            tmp_path
        )
        told = describe_cache(tmp_path)
        assert told["examples"] == f"{4 * len(shards)} of 11"
        assert told["state"] == "unfinished: the same extraction goes on"


def test_no_cache(tmp_path):
    with pytest.raises(CacheError, match=r"it has no manifest\.json"):
        describe_cache(tmp_path)
