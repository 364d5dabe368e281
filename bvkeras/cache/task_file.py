"""The description of a task that lies beside an imported cache."""

from bvkeras.cache.reader import MANIFEST_BYTES, HiddenStateCache
from bvkeras.cache.storage import file_size, join, leads_outside, read_all
from bvkeras.errors import CacheError
from bvkeras.tasks.description import TASK_FILE


def read_task_file(cache: HiddenStateCache) -> bytes | None:
    """The description of a task beside an imported cache, if there is one.

    Raises:
        CacheError: it is a link to a place outside.
    """
    path = join(cache.directory, TASK_FILE)
    if cache.manifest.imported is None or file_size(path) is None:
        return None
    if leads_outside(cache.directory, TASK_FILE):
        raise CacheError(f"{path} is a link to a place outside")
    return read_all(path, MANIFEST_BYTES)
