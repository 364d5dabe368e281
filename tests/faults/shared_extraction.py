"""One of several processes that write a cache together.

    python -m tests.faults.shared_extraction ENCODER FOLDER PART DEATHS

PART is `dies_before_shard`, `dies_before_record` (killed by -9 in front of
the first rename of that kind) or `lives`; a process that lives holds its
first shard back until the file DEATHS is there.
"""

import os
import pathlib
import re
import signal
import sys
import time

from bvkeras.cache import writer
from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from tests.tiny_runs import CLASSES, make_examples

_SHARD = re.compile(r".*\.tfrecord")
_RECORD = re.compile(r".*\.workers.\d+\.json")
SHARD_BYTES = 2500


def extract(encoder_directory, directory, **arguments):
    """Writes 23 examples, about as many shards."""
    writer._SHARD_BYTES = SHARD_BYTES
    return write_cache(
        load_backbone(encoder_directory, dropout=0.0),
        CLASSES,
        make_examples(23),
        directory,
        max_tokens=16,
        dtype="float32",
        **arguments,
    )


def _before_rename(pattern, action):
    replace = os.replace

    def watched(source, target):
        if pattern.fullmatch(str(target)):
            action()
        replace(source, target)

    os.replace = watched


def _main(encoder_directory, directory, part, deaths):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def wait():
        while not pathlib.Path(deaths).exists():
            time.sleep(0.02)

    if part == "lives":
        _before_rename(_SHARD, wait)
    else:
        pattern = _SHARD if part == "dies_before_shard" else _RECORD
        _before_rename(pattern, die)
    extract(encoder_directory, directory, shared=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
