"""A look at an export, without loading it or running anything of it."""

import collections
import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from bvkeras.errors import DataError
from bvkeras.serving import layout, warm_up
from bvkeras.serving.description import RESERVED, check_sizes
from bvkeras.serving.fingerprint_check import FINGERPRINT, check_fingerprint
from bvkeras.serving.graph_check import INIT_SIGNATURE, unusual_graph
from bvkeras.serving.object_check import check_objects
from bvkeras.serving.tokenizer_check import check_tokenizer
from bvkeras.serving.variables_check import check_variables

_SERVE_TAGS = ["serve"]
_FILES = frozenset(
    {
        *(layout.GRAPH, layout.DESCRIPTION, layout.VOCABULARY),
        *(layout.WARM_UP, FINGERPRINT, f"{layout.VARIABLES}.index"),
        f"{layout.VARIABLES}.data-00000-of-00001",
    }
)
_FOLDERS = frozenset({"assets", layout.EXTRA, "variables"})
_MOST_GRAPH_BYTES = 1 << 28
_MOST_NAMED = 100
_MOST_WARM_UP_BYTES = 1 << 20


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
    not followed. What loading would run or make is looked at as well as what
    signatures reach, and everything must stand where an export has it.

    Args:
        directory: str or path. A version of an export, or the folder of its
            versions: then the newest.

    Raises:
        DataError: there is no SavedModel, or its graph cannot be read.
        MissingPackageError: tensorflow-text is not installed.
    """
    version = layout.version_directory(directory)
    files, unusual = _files(version)
    meta_graph = _meta_graph(version)
    unusual += unusual_graph(meta_graph)
    description = None
    try:
        description = layout.read_description(version)
    except DataError as error:
        unusual.append(str(error))
    unusual += map(str, _problems(version, meta_graph, description))
    # Its native code expects what has been looked at.
    if not unusual:
        try:
            check_fingerprint(version)
        except DataError as error:
            unusual.append(str(error))
    graph = meta_graph.graph_def
    operations = collections.Counter(
        node.op
        for nodes in (graph.node, *(f.node_def for f in graph.library.function))
        for node in nodes
    )
    if len(unusual) > _MOST_NAMED:
        left = len(unusual) - _MOST_NAMED
        unusual[_MOST_NAMED:] = [f"and {left:,} more"]
    return Inspection(
        directory=version,
        signatures=_signatures(meta_graph),
        operations=dict(sorted(operations.items())),
        files=files,
        description=description,
        signature_definitions={
            name: meta_graph.signature_def[name]
            for name in sorted(meta_graph.signature_def)
            if name != INIT_SIGNATURE
        },
        unusual=[_shown(line) for line in unusual],
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
            status = path.lstat()
            if path.is_symlink():
                unusual.append(f"{relative} is a link to {os.readlink(path)}")
            elif name in names:
                if relative not in _FOLDERS:
                    unusual.append(f"{relative} is no folder of an export")
            else:
                files[relative] = status.st_size
                if relative not in _FILES or not stat.S_ISREG(status.st_mode):
                    unusual.append(f"{relative} is no file of an export")
    return dict(sorted(files.items())), unusual


def _meta_graph(version: pathlib.Path):
    path = version / layout.GRAPH
    data = layout.read_file(version, layout.GRAPH, _MOST_GRAPH_BYTES)
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(data)
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
        if name != INIT_SIGNATURE
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


def _problems(version, meta_graph, description) -> Iterator[DataError]:
    """What is wrong besides the graph's operations, part by part."""
    try:
        objects = check_objects(meta_graph)
        check_variables(version, objects.variables)
    except DataError as error:
        yield error
        return
    if description is None:
        return
    shapes = {name: shape for name, (_, shape) in objects.variables.items()}
    checks = (
        (check_sizes, description, shapes),
        (_check_signatures, description, meta_graph),
        (check_tokenizer, version, description, meta_graph, objects.constants),
        (_check_warm_up, version, description),
    )
    for check, *arguments in checks:
        try:
            check(*arguments)
        except DataError as error:
            yield error


def _check_signatures(description, meta_graph) -> None:
    tasks = description["tasks"]
    expected = {INIT_SIGNATURE, *tasks, *RESERVED}
    if len(tasks) == 1:
        expected.remove("all")
    found = meta_graph.signature_def.keys() | {INIT_SIGNATURE}
    for name in sorted(found ^ expected):
        raise DataError(
            f"signature {name} is {'not there' if name in expected else 'new'}"
        )
    for name, task in tasks.items():
        inputs = meta_graph.signature_def[name].inputs
        if inputs.keys() != set(task["inputs"]):
            raise DataError(f"signature {name} has other inputs than its task")


def _check_warm_up(version, description) -> None:
    """TensorFlow Serving answers these requests before any other."""
    found = layout.read_file(version, layout.WARM_UP, _MOST_WARM_UP_BYTES)
    if found != warm_up.content(description["tasks"]):
        raise DataError(
            f"{version / layout.WARM_UP} has other requests than an export"
        )
