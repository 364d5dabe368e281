"""Reading whole records straight into the arrays they are wanted in."""

import contextlib
from collections.abc import Iterable

import numpy as np

from bvkeras.cache.format import Manifest
from bvkeras.cache.index import RecordIndex
from bvkeras.cache.records import (
    CRC_BYTES,
    FRONT_BYTES,
    RecordError,
    RecordParser,
    masked_crc,
)
from bvkeras.cache.storage import RandomAccessFile, join
from bvkeras.errors import CacheError

# So many shards are open at once.
_OPEN_SHARDS = 32


class RecordReader:
    """Reads records in any order, each with one system call.

    Several threads may use one reader.

    Args:
        directory: path, or string of a path that is not local.
        manifest: Manifest of the cache.
        index: RecordIndex of the cache.
    """

    def __init__(self, directory, manifest: Manifest, index: RecordIndex):
        self._manifest, self._index = manifest, index
        self._paths = [join(directory, shard.file) for shard in manifest.shards]
        self._parser = RecordParser(manifest)

    def read(
        self, records: Iterable[tuple[int, dict[str, np.ndarray]]]
    ) -> None:
        """Reads records and compares their bytes with their CRCs.

        Args:
            records: iterable of pairs: an example's position in the split;
                and a dict of uint8 arrays `(bytes,)`, contiguous, of the size
                of what they get: `hidden_states`, and as far as they are
                wanted and kept `scales`, `token_ids` and `offsets`.

        Raises:
            CacheError: the bytes are not those written.
        """
        files: dict[int, RandomAccessFile] = {}
        with contextlib.ExitStack() as opened:
            for row, arrays in records:
                shard = int(self._index.shards[row])
                if shard not in files:
                    if len(files) == _OPEN_SHARDS:
                        opened.close()
                        files.clear()
                    file = RandomAccessFile(self._paths[shard])
                    files[shard] = opened.enter_context(file)
                self._read(files[shard], int(row), arrays)

    def _read(self, file, row, arrays):
        index, states = self._index, arrays["hidden_states"]
        size, start = int(index.sizes[row]), int(index.values_starts[row])
        end = start + states.size
        front = np.empty(FRONT_BYTES + start, np.uint8)
        behind = np.empty(size - end + CRC_BYTES, np.uint8)
        count = file.read_into([front, states, behind], int(index.starts[row]))
        head, tail = front[FRONT_BYTES:], behind[:-CRC_BYTES]
        written = int.from_bytes(behind[-CRC_BYTES:].tobytes(), "little")
        if (
            count != FRONT_BYTES + size + CRC_BYTES
            or masked_crc(head, states, tail) != written
        ):
            raise self._damage(row, "its bytes are not those written")
        if "scales" in arrays:
            place = int(index.scales_starts[row]) - end
            arrays["scales"][:] = tail[place : place + arrays["scales"].size]
        if not arrays.keys() & set(self._manifest.extras):
            return

        def read(offset, num_bytes):
            part = head[offset:] if offset < start else tail[offset - end :]
            return part[:num_bytes].tobytes()

        try:
            extras = self._parser.extras(read, size)
        except RecordError as error:
            raise self._damage(row, str(error)) from None
        for name, values in extras.items():
            arrays[name][:] = values.reshape(-1).view(np.uint8)

    def _damage(self, row: int, what: str) -> CacheError:
        index = self._index
        shard = index.shards[row]
        number = row - int(np.searchsorted(index.shards, shard))
        name = index.ids[row].decode("utf-8", "replace")
        return CacheError(
            f"{self._paths[shard]}, record {number} (example {name!r}): {what}"
        )
