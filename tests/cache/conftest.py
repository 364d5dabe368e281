import shutil

import pytest

from bvkeras.cache import writer
from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from tests.tiny_runs import CLASSES, make_examples


@pytest.fixture(scope="session")
def encoder(tiny_bert):
    return load_backbone(tiny_bert, dropout=0.0)


@pytest.fixture
def small_shards(monkeypatch):
    """Four or five examples a shard."""
    monkeypatch.setattr(writer, "_SHARD_BYTES", 8000)


@pytest.fixture(scope="session")
def written_cache(encoder, tmp_path_factory):
    """A finished cache of 23 examples in several shards; do not change it."""
    directory = tmp_path_factory.mktemp("cache") / "train"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_SHARD_BYTES", 8000)
        write_cache(
            encoder,
            CLASSES,
            make_examples(23),
            directory,
            max_tokens=16,
            dtype="float32",
        )
    return directory


@pytest.fixture
def cache_copy(written_cache, tmp_path):
    """A copy of `written_cache` that the test may damage."""
    return shutil.copytree(written_cache, tmp_path / "copy")
