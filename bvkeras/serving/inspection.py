"""A look at an export, without loading it or running anything of it."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from bvkeras.errors import DataError
from bvkeras.serving import layout
from bvkeras.serving.allowed_ops import COMPUTING, LOADING

_INIT_SIGNATURE = "__saved_model_init_op"
_SERVE_TAGS = ["serve"]
_FILES = frozenset(
    {
        *(layout.GRAPH, layout.DESCRIPTION, layout.VOCABULARY),
        *(layout.WARM_UP, "fingerprint.pb", f"{layout.VARIABLES}.index"),
    }
)
_SHARDS = f"{layout.VARIABLES}.data-"
_MOST_GRAPH_BYTES = 1 << 31
_USER_OBJECTS = frozenset(
    {
        *("_generic_user_object", "signature_map"),
        *("trackable_dict_wrapper", "trackable_list_wrapper"),
    }
)
_MOST_NAMED = 20


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What lies in an export.

    Attributes:
        directory: path. The version looked at.
        signatures: dict of name to `{"inputs", "outputs"}`, each a dict of
            name to a text of type and shape; `?` is a size not fixed.
        operations: dict of operation to how often it is there, in the graph
            and the functions it calls.
        files: dict of path, relative to `directory`, to bytes.
        description: dict, or None. What the export says of itself: it is
            shown, and nothing is concluded from it.
        signature_definitions: dict of name to the signature's `SignatureDef`,
            as it lies in the graph.
        unusual: list of str. What an export of bvkeras does not have; empty
            if there is nothing.
    """

    directory: pathlib.Path
    signatures: dict[str, dict[str, dict[str, str]]]
    operations: dict[str, int]
    files: dict[str, int]
    description: dict[str, Any] | None
    signature_definitions: dict[str, meta_graph_pb2.SignatureDef]
    unusual: list[str]

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def inspect(directory: str | os.PathLike) -> Inspection:
    """Lists signatures, operations and files, and what is unusual.

    The graph is read as data. Nothing is loaded, run or unpickled; links are
    not followed.

    Args:
        directory: str or path. A version of an export, or the folder of its
            versions: then the newest.

    Raises:
        DataError: there is no SavedModel, or its graph cannot be read.
    """
    version = layout.version_directory(directory)
    files, unusual = _files(version)
    meta_graph = _meta_graph(version)
    graph = meta_graph.graph_def
    functions = {f.signature.name: f for f in graph.library.function}
    operations = collections.Counter(
        node.op
        for nodes in (graph.node, *(f.node_def for f in functions.values()))
        for node in nodes
        if node.op not in functions
    )
    unusual += _unusual_operations(meta_graph, functions, operations)
    unusual += _unusual_parts(meta_graph)
    description = None
    try:
        description = layout.read_description(version)
    except DataError as error:
        unusual.append(str(error))
    return Inspection(
        directory=version,
        signatures=_signatures(meta_graph),
        operations=dict(sorted(operations.items())),
        files=files,
        description=description,
        signature_definitions={
            name: meta_graph.signature_def[name]
            for name in sorted(meta_graph.signature_def)
            if name != _INIT_SIGNATURE
        },
        unusual=unusual,
    )


def format_inspection(inspection: Inspection) -> str:
    """An inspection as text for people."""
    lines = [f"{inspection.directory}, {inspection.num_bytes:,} bytes"]
    for name, num_bytes in inspection.files.items():
        lines.append(f"  {_shown(name)}: {num_bytes:,} bytes")
    for name, signature in inspection.signatures.items():
        lines.append(f"signature {_shown(name)}")
        for side in ("inputs", "outputs"):
            for tensor, about in signature[side].items():
                lines.append(f"  {side[:-1]} {_shown(tensor)}: {about}")
    total = sum(inspection.operations.values())
    lines.append(f"{total:,} operations of {len(inspection.operations)} kinds")
    for name, count in inspection.operations.items():
        lines.append(f"  {_shown(name)}: {count:,}")
    if inspection.unusual:
        lines.append("unusual:")
        lines += [f"  {_shown(line)}" for line in inspection.unusual]
    else:
        lines.append("nothing unusual")
    return "\n".join(lines) + "\n"


def _shown(text: str) -> str:
    """A name from the artifact, harmless in a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _files(version: pathlib.Path) -> tuple[dict[str, int], list[str]]:
    files, unusual = {}, []
    for folder, names, file_names in os.walk(version, followlinks=False):
        for name in sorted([*names, *file_names]):
            path = pathlib.Path(folder) / name
            relative = path.relative_to(version).as_posix()
            if path.is_symlink():
                unusual.append(f"{relative} is a link to {os.readlink(path)}")
            elif name not in names:
                files[relative] = path.lstat().st_size
                if relative not in _FILES and not relative.startswith(_SHARDS):
                    unusual.append(f"{relative} is no file of an export")
    return dict(sorted(files.items())), unusual


def _meta_graph(version: pathlib.Path):
    path = version / layout.GRAPH
    if path.is_symlink() or not path.is_file():
        raise DataError(f"{path} is no file, expected the graph")
    if path.stat().st_size >= _MOST_GRAPH_BYTES:
        raise DataError(f"{path} has 2 GiB or more, expected less")
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    graphs = [
        graph
        for graph in saved_model.meta_graphs
        if list(graph.meta_info_def.tags) == _SERVE_TAGS
    ]
    if len(graphs) != 1 or len(saved_model.meta_graphs) != 1:
        raise DataError(
            f"{path} has {len(saved_model.meta_graphs)} graphs, expected one, "
            "tagged serve"
        )
    return graphs[0]


def _signatures(meta_graph) -> dict[str, dict[str, dict[str, str]]]:
    return {
        name: {
            side: {
                tensor: _tensor(info)
                for tensor, info in sorted(getattr(signature, side).items())
            }
            for side in ("inputs", "outputs")
        }
        for name, signature in sorted(meta_graph.signature_def.items())
        if name != _INIT_SIGNATURE
    }


def _tensor(info) -> str:
    try:
        name = tf.as_dtype(info.dtype).name
    except TypeError:
        name = f"type {info.dtype}"
    if info.tensor_shape.unknown_rank:
        return f"{name}, any shape"
    sizes = [
        "?" if size.size < 0 else str(size.size)
        for size in info.tensor_shape.dim
    ]
    return f"{name} ({', '.join(sizes)})"


def _unusual_operations(meta_graph, functions, operations) -> list[str]:
    unusual = [
        f"operation {name}, {operations[name]} times: no export has it"
        for name in sorted(set(operations) - COMPUTING - LOADING)
    ]
    called = sorted(name for name in functions if name in COMPUTING | LOADING)
    unusual += [f"function {name} is named as an operation" for name in called]
    for name, signature in sorted(meta_graph.signature_def.items()):
        if name == _INIT_SIGNATURE:
            continue
        reached, missing = _reached(meta_graph.graph_def, functions, signature)
        unusual += [
            f"signature {name} reaches {operation}, which is for loading only"
            for operation in sorted(reached & LOADING)
        ]
        unusual += [
            f"signature {name} needs the node {node}, which is not there"
            for node in sorted(missing)
        ]
    return unusual


def _reached(graph, functions, signature) -> tuple[set[str], set[str]]:
    """What a signature's outputs depend on.

    Returns:
        Operations, and names of nodes that are not there.
    """
    nodes = {node.name: node for node in graph.node}
    waiting = [info.name for info in signature.outputs.values()]
    operations, missing, seen, seen_functions = set(), set(), set(), set()
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in seen:
            continue
        seen.add(name)
        if name not in nodes:
            missing.add(name)
            continue
        waiting += nodes[name].input
        operations.update(_in_functions(nodes[name], functions, seen_functions))
    return operations, missing


def _in_functions(node, functions, seen) -> Iterator[str]:
    """A node's operation, and those of the functions it calls."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node.op not in functions:
            yield node.op
        for name in _called(node, functions):
            if name not in seen:
                seen.add(name)
                waiting += functions[name].node_def


def _called(node, functions) -> set[str]:
    names = {node.op}
    for value in node.attr.values():
        names.add(value.func.name)
        names |= {function.name for function in value.list.func}
    return names & set(functions)


def _unusual_parts(meta_graph) -> list[str]:
    unusual = []
    for asset in meta_graph.asset_file_def:
        unusual.append(f"asset {asset.filename!r}: no export has assets")
    for name in sorted(meta_graph.collection_def):
        if name != "saved_model_main_op":
            unusual.append(f"collection {name}: no export has it")
    if "serving_default" not in meta_graph.signature_def:
        unusual.append("there is no signature serving_default")
    kinds = collections.Counter(
        node.user_object.identifier
        for node in meta_graph.object_graph_def.nodes
        if node.WhichOneof("kind") == "user_object"
    )
    for kind in sorted(set(kinds) - _USER_OBJECTS)[:_MOST_NAMED]:
        unusual.append(f"object {kind}, {kinds[kind]} times: no export has it")
    return unusual
