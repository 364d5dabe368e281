"""Writing one shard of a hidden-state cache, whole or not at all."""

import pathlib
from collections.abc import Sequence

import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.format import Shard, shard_file


def write_shard(
    directory: pathlib.Path, number: int, records: Sequence[bytes], tokens: int
) -> Shard:
    """Writes records as a TFRecord file, synced and renamed into place.

    Args:
        directory: path. The cache's folder.
        number: int. The shard's number, from 0.
        records: sequence of bytes. What `encode_record` gave.
        tokens: int. Tokens in all records.

    Returns:
        Shard, for the manifest.

    Raises:
        OSError: the file cannot be written; names it.
    """
    path = directory / shard_file(number)
    with fileio.atomic_path(path) as temporary:
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for record in records:
                    fileio.before_operation("write", path)
                    writer.write(record)
        except tf.errors.OpError as error:
            # TensorFlow's own class does not tell a full disk from others.
            reason = error.message.rpartition("; ")[2]
            raise OSError(f"{path} cannot be written: {reason}") from error
        num_bytes = temporary.stat().st_size
        digest = fileio.file_digest(temporary)
    return Shard(path.name, len(records), tokens, num_bytes, digest)
