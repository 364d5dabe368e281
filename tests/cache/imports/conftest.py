import pytest

from bvkeras.cache.reader import HiddenStateCache
from tests.cache.imports.dumped import states_of


@pytest.fixture(scope="session")
def written(written_cache):
    """A cache that an encoder made."""
    return HiddenStateCache(written_cache)


@pytest.fixture(scope="session")
def states(written):
    """The hidden states in it, one array an example."""
    return states_of(written)


@pytest.fixture(scope="session")
def labels(written):
    return written.labels().tolist()
