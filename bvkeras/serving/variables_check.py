"""Whether an export's variables are those its object graph names."""

import math
import os
import pathlib
from collections.abc import Mapping

from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import trackable_object_graph_pb2

from bvkeras.errors import DataError
from bvkeras.serving import layout
from bvkeras.serving.variables_index import Stored, read_index

_INDEX = f"{layout.VARIABLES}.index"
_DATA = f"{layout.VARIABLES}.data-00000-of-00001"
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_ATTRIBUTE = "VARIABLE_VALUE"
_MOST_INDEX_BYTES = 1 << 26
_CHECKSUM_BYTES = 4
_ITEM_BYTES = {types_pb2.DT_FLOAT: 4, types_pb2.DT_BFLOAT16: 2}
_NAMES = {types_pb2.DT_FLOAT: "float32", types_pb2.DT_BFLOAT16: "bfloat16"}


def read_shapes(version: pathlib.Path) -> dict[str, tuple[int, tuple]]:
    """Type and shape of each variable that is stored.

    Args:
        version: path. A version of an export.

    Returns:
        dict of name (`encoder/0`, `heads/sst2/1`) to TensorFlow's number of
        the type, and the shape.

    Raises:
        DataError: the index cannot be read, or the data file is not as long
            as it says.
    """
    return _shapes(_stored(version))


def check_variables(
    version: pathlib.Path, variables: Mapping[str, tuple[int, tuple]]
) -> None:
    """Compares what is stored with an object graph.

    Args:
        version: path. A version of an export.
        variables: dict, as `read_shapes`. What the object graph names.

    Raises:
        DataError: they differ, or loading would restore something in another
            way than by its name.
    """
    stored = _stored(version)
    found = _shapes(stored)
    for name in sorted(found.keys() | variables.keys()):
        if found.get(name) != variables.get(name):
            raise DataError(
                f"variable {name} is {_shown(variables.get(name))} in the "
                f"graph and {_shown(found.get(name))} in {_INDEX}"
            )
    _check_objects(_saved_objects(version, stored[_OBJECTS]), variables)


def _shapes(stored: Mapping[str, Stored]) -> dict[str, tuple[int, tuple]]:
    return {
        name.removesuffix(_SUFFIX): (about.dtype, about.shape)
        for name, about in stored.items()
        if name != _OBJECTS
    }


def _shown(about) -> str:
    if about is None:
        return "not there"
    dtype, shape = about
    return f"{_NAMES.get(dtype, 'of another type')} {shape}"


def _stored(version: pathlib.Path) -> dict[str, Stored]:
    path = version / _INDEX
    try:
        stored = read_index(
            layout.read_file(version, _INDEX, _MOST_INDEX_BYTES)
        )
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {error}") from None
    end = 0
    for name, about in sorted(stored.items(), key=lambda item: item[1].offset):
        if about.offset != end:
            raise DataError(f"{path}: {name!r} does not begin at byte {end:,}")
        end += about.num_bytes
        if name == _OBJECTS:
            continue
        item_bytes = _ITEM_BYTES.get(about.dtype)
        if not name.endswith(_SUFFIX) or item_bytes is None:
            raise DataError(f"{path}: no export has {name!r}")
        if about.num_bytes != item_bytes * math.prod(about.shape):
            raise DataError(
                f"{path}: {name!r} of {about.shape} has {about.num_bytes:,} "
                "bytes"
            )
    if _OBJECTS not in stored:
        raise DataError(f"{path} does not name its objects")
    layout.check_file(version, _DATA)
    found = os.lstat(version / _DATA).st_size
    if found != end:
        raise DataError(
            f"{version / _DATA} has {found:,} bytes, expected {end:,}"
        )
    return stored


def _saved_objects(version: pathlib.Path, about: Stored):
    """The objects as the variables' own file has them."""
    path = version / _DATA
    if about.num_bytes > _MOST_INDEX_BYTES or about.shape:
        raise DataError(f"{path} has too large a list of objects")
    with open(path, "rb") as file:
        file.seek(about.offset)
        data = file.read(about.num_bytes)
    # The text's length, a checksum of it, the text.
    size, place = 0, 0
    while place < len(data) and place < 5:
        size |= (data[place] & 0x7F) << (7 * place)
        place += 1
        if data[place - 1] < 0x80:
            break
    text = data[place + _CHECKSUM_BYTES :]
    if len(text) != size:
        raise DataError(f"{path} has a list of objects of another length")
    try:
        return trackable_object_graph_pb2.TrackableObjectGraph.FromString(text)
    except DecodeError:
        raise DataError(f"{path} has a list of objects of no kind") from None


def _check_objects(graph, variables) -> None:
    """Every variable is reached by its own name, and restored from it."""
    names, waiting = {}, [("", 0)]
    while waiting:
        name, node_id = waiting.pop()
        if not 0 <= node_id < len(graph.nodes):
            raise DataError(f"stored object {name!r} is not there")
        if node_id in names:
            # Of signatures and constants nothing is stored.
            continue
        names[node_id] = name
        waiting += [
            (f"{name}/{child.local_name}".lstrip("/"), child.node_id)
            for child in graph.nodes[node_id].children
        ]
    restored = set()
    for node_id, node in enumerate(graph.nodes):
        name = names.get(node_id, "")
        if node.slot_variables or node.HasField("registered_saver"):
            raise DataError(
                f"stored object {name or node_id!r} is restored by code"
            )
        for attribute in node.attributes:
            if (
                attribute.name != _ATTRIBUTE
                or attribute.checkpoint_key != name + _SUFFIX
                or name not in variables
            ):
                raise DataError(
                    f"stored object {name or node_id!r} is restored from "
                    f"{attribute.checkpoint_key!r}"
                )
            restored.add(name)
    for name in sorted(variables.keys() - restored):
        raise DataError(f"variable {name} would not be restored")
