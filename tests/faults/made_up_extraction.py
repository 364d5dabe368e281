"""An extraction whose encoder is made up: only the writing is real.

It runs no TensorFlow operation, so it works in a process that was forked,
where TensorFlow's threads are missing.

    python -m tests.faults.made_up_extraction exit FOLDER OPERATIONS

extracts into FOLDER/0, FOLDER/1, … each in a child process that exits without
any clean-up in front of that operation, as a killed one does.

    python -m tests.faults.made_up_extraction hold FOLDER

extracts into FOLDER, says so at the first write, and waits there.
"""

import contextlib
import os
import pathlib
import signal
import sys
import types
from unittest import mock

import numpy as np

from bvkeras import fileio
from bvkeras.cache import writer
from bvkeras.data.tokenized_examples import TokenizedExamples
from tests.tiny_runs import CLASSES, make_examples

EXIT_STATUS = 77
# Three examples for each of the first two shards, one for the last.
_LENGTHS = (5, 3, 6, 7, 4, 3, 8)
_LAYERS = [0, 1, 2]
_FEATURES = 8
_EXAMPLES = make_examples(len(_LENGTHS))


def extract(directory, broken_row=None):
    """Writes 7 examples in three shards.

    Args:
        directory: path.
        broken_row: int. The example that has a value that is not finite.
    """
    encoder = types.SimpleNamespace(
        identity=lambda: {"config": {}, "encoder": "e", "tokenizer": "t"},
        layer_indices=lambda layers: _LAYERS,
        check_max_tokens=lambda max_tokens: None,
        hidden_dim=_FEATURES,
        backbone=types.SimpleNamespace(compute_dtype="float32"),
    )
    with mock.patch.multiple(
        writer,
        _SHARD_BYTES=504,
        cache_forward=lambda encoder, manifest: _forward(broken_row),
        tokenize_examples=lambda *_: _TOKENS,
    ):
        return writer.write_cache(
            encoder,
            CLASSES,
            _EXAMPLES,
            directory,
            max_tokens=16,
            dtype="int8",
            extras=("token_ids", "offsets"),
        )


@contextlib.contextmanager
def at_operation(number, action):
    """Runs `action` in front of the operation with that number, from 0.

    Args:
        number: int. Counted over all writes, syncs and renames.
        action: callable without arguments.

    Yields:
        list of the operations so far, pairs of their kind and the file's
        name.
    """
    seen = []

    def told(name, path):
        seen.append((name, path.name))
        if len(seen) == number + 1:
            action()

    with mock.patch.object(fileio, "before_operation", told):
        yield seen


def _made_up_tokens():
    rows, offsets, next_id = [], [], 1
    for length in _LENGTHS:
        # No id comes twice, so an id tells its example.
        ids = np.arange(next_id, next_id + length, dtype=np.int32)
        next_id += length
        rows.append((ids, np.zeros_like(ids)))
        offsets.append(np.stack([np.arange(length), np.arange(length)], 1))
    return TokenizedExamples(rows, 0, _EXAMPLES.ids, _EXAMPLES.labels, offsets)


_TOKENS = _made_up_tokens()


def _forward(broken_row):
    broken = [] if broken_row is None else _TOKENS.rows[broken_row][0]

    def forward(inputs):
        ids = inputs["token_ids"]
        places = np.arange(len(_LAYERS) * _FEATURES)
        values = ids[..., None, None] + places.reshape(len(_LAYERS), _FEATURES)
        scales = np.ones(values.shape[:3], np.float32)
        return values.astype(np.int8), scales, ~np.isin(ids, broken)

    return forward


def _exit_everywhere(folder, operations):
    for number in range(operations):
        child = os.fork()
        if not child:
            with at_operation(number, lambda: os._exit(EXIT_STATUS)):
                extract(folder / str(number))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))


def _hold(directory):
    def wait():
        print("writing", flush=True)
        signal.pause()

    with at_operation(0, wait):
        extract(directory)


if __name__ == "__main__":
    if sys.argv[1] == "exit":
        _exit_everywhere(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    else:
        _hold(pathlib.Path(sys.argv[2]))
