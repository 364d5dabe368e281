"""Whether `fingerprint.pb` is that of the graph beside it."""

import pathlib

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

from bvkeras.errors import DataError
from bvkeras.serving import layout

FINGERPRINT = "fingerprint.pb"
_MOST_BYTES = 1 << 16
_HASHES = (
    *("saved_model_checksum", "graph_def_program_hash"),
    *("signature_def_hash", "saved_object_graph_hash", "checkpoint_hash"),
)


def check_fingerprint(version: pathlib.Path) -> None:
    """Computes the fingerprint anew, as TensorFlow does when it saves.

    It shows damage. It is no signature: who writes a graph can write its
    fingerprint.

    Args:
        version: path. A version of an export whose graph and variables' index
            have been looked at: TensorFlow's code expects them well formed.

    Raises:
        DataError: it is missing, cannot be read, or is of something else.
    """
    path = version / FINGERPRINT
    try:
        written = fingerprint_pb2.FingerprintDef.FromString(
            layout.read_file(version, FINGERPRINT, _MOST_BYTES)
        )
        made = fingerprint_pb2.FingerprintDef.FromString(
            fingerprinting.CreateFingerprintDef(str(version))
        )
    except (DecodeError, fingerprinting.FingerprintException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}") from None
    # By another version of TensorFlow hashes can be of other parts.
    names: tuple[str, ...] = _HASHES
    if written.version.producer != made.version.producer:
        names = ("checkpoint_hash",)
    for name in names:
        if getattr(written, name) != getattr(made, name):
            raise DataError(f"{path} has another {name} than the export")
