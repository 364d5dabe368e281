import pytest

from bvkeras import fileio
from bvkeras.cache.verify import verify_cache
from bvkeras.errors import CacheError


def test_whole_cache(written_cache):
    assert len(verify_cache(written_cache)) == 23


@pytest.mark.parametrize("position", [0, 500, -1])
def test_changed_byte(cache_copy, position):
    path = cache_copy / "hidden_states-00003.tfrecord"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CacheError, match=r"00003\.tfrecord: .* not those written"
    ):
        verify_cache(cache_copy)


def test_shards_in_each_other_s_place(cache_copy):
    first, second = (
        cache_copy / f"hidden_states-0000{number}.tfrecord" for number in (0, 1)
    )
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.raises(CacheError):
        verify_cache(cache_copy)


def test_shard_that_the_manifest_forgot(cache_copy):
    path = cache_copy / "manifest.json"
    manifest = fileio.read_json(path)
    records = 23 - manifest["shards"].pop()["records"]
    del manifest["digest"]
    manifest["digest"] = fileio.value_digest(manifest)
    fileio.write_json(path, manifest)
    with pytest.raises(CacheError, match=f"hold {records} examples.* 23"):
        verify_cache(cache_copy)
