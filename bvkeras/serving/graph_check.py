"""What may stand in the graph of an export, place by place."""

import collections
import functools
import graphlib
import math
import re
from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import config_pb2

from bvkeras.serving import allowed_ops

INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTION = "saved_model_main_op"
_METHOD = "tensorflow/serving/predict"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_DEVICE = re.compile(
    r"(/job:localhost/replica:0/task:0)?(/device:(CPU|GPU):(\d+|\*))?"
)
# Attributes that TensorFlow acts on besides those of an operation. Others
# choose a gradient, a compiler or an executor.
_HINTS = frozenset(
    {
        *("_collective_manager_ids", "_has_manual_control_dependencies"),
        *("_output_shapes", "_read_only_resource_inputs"),
        *("_construction_context", "_input_shapes"),
    }
)
_CONFIG = frozenset(
    {
        *("allow_soft_placement", "device_count", "experimental"),
        *("gpu_options", "pluggable_device_options"),
    }
)
# Labels, special tokens, shapes: the largest are an export's list of labels.
_MOST_ELEMENTS = 1 << 16
# How often a part of the graph may be repeated in a signature, when all its
# calls are written out: once for each way that texts are cut.
_MOST_REPEATED = 64


def unusual_graph(meta_graph) -> list[str]:
    """What stands in a graph and its functions that no export has there.

    Every function is looked at, whether anything calls it or not: loading
    reaches them in more ways than signatures do.

    Args:
        meta_graph: MetaGraphDef.

    Returns:
        list of str, one line each.
    """
    functions = meta_graph.graph_def.library.function
    names = collections.Counter(f.signature.name for f in functions)
    twice = sorted(name for name, count in names.items() if count > 1)
    # What is under one name could hide behind what is looked at.
    if twice:
        return [f"function {name} is there twice" for name in twice]
    return [
        *_unknown_operations(meta_graph.graph_def),
        *(
            f"function {name} is named as an operation"
            for name in sorted(names.keys() & allowed_ops.ALL)
        ),
        *_misplaced_operations(meta_graph),
        *_unusual_nodes(meta_graph.graph_def),
        *_unusual_calls(meta_graph),
        *_unusual_signatures(meta_graph),
        *_unusual_start(meta_graph),
        *_unusual_saver(meta_graph),
        *_unusual_parts(meta_graph),
    ]


def signature_functions(meta_graph) -> dict[str, str]:
    """The function that each signature calls, by the signature's name."""
    nodes = _nodes(meta_graph.graph_def)
    found = {}
    for name, signature in meta_graph.signature_def.items():
        if name == INIT_SIGNATURE:
            continue
        called = {
            _function_of(nodes.get(_node_of(info.name)))
            for info in signature.outputs.values()
        }
        found[name] = called.pop() if len(called) == 1 else ""
    return found


def _bodies(graph) -> Iterator[tuple[str, list]]:
    """The graph and each function: where it is, and its nodes."""
    yield "the graph", graph.node
    for function in graph.library.function:
        yield f"function {function.signature.name}", function.node_def


def _nodes(graph) -> dict:
    return {node.name: node for node in graph.node}


def _node_of(tensor: str) -> str:
    return tensor.partition(":")[0]


def _function_of(node) -> str:
    """The function a node calls; empty if it is no call."""
    if node is None or node.op not in _CALLS:
        return ""
    return node.attr["f"].func.name if "f" in node.attr else ""


def _unknown_operations(graph) -> Iterator[str]:
    operations = collections.Counter(
        node.op for _, nodes in _bodies(graph) for node in nodes
    )
    for name in sorted(operations.keys() - allowed_ops.ALL):
        yield f"operation {name}, {operations[name]} times: no export has it"


def _misplaced_operations(meta_graph) -> Iterator[str]:
    graph = meta_graph.graph_def
    save, restore = _saver_functions(meta_graph)
    for where, nodes in _bodies(graph):
        found = collections.Counter(node.op for node in nodes)
        allowed = dict.fromkeys(allowed_ops.COMPUTING)
        if where == "the graph":
            allowed = dict.fromkeys(allowed_ops.GRAPH)
        elif where == f"function {save}":
            allowed = allowed_ops.SAVING
        elif where == f"function {restore}":
            allowed = allowed_ops.RESTORING
        for name in sorted(found.keys() & allowed_ops.ALL - allowed.keys()):
            yield f"{where} has {name}, which belongs elsewhere"
        for name, count in allowed.items():
            if count is not None and found[name] != count:
                yield f"{where} has {name} {found[name]} times, not {count}"


def _unusual_nodes(graph) -> Iterator[str]:
    """What is unusual of nodes one by one, whatever their operation."""
    for where, nodes in _bodies(graph):
        if len({node.name for node in nodes}) < len(nodes):
            yield f"{where} has two nodes of one name"
        for node in nodes:
            for about in _unusual_attributes(node, where == "the graph"):
                yield f"node {node.name} of {where} {about}"


def _unusual_attributes(node, is_outside: bool) -> Iterator[str]:
    if not _DEVICE.fullmatch(node.device):
        yield f"is for the device {node.device!r}"
    for name, value in sorted(node.attr.items()):
        if name.startswith("_") and name not in _HINTS:
            yield f"has the attribute {name!r}"
        kind = value.WhichOneof("value")
        types: Sequence[int] = ()
        if kind == "type":
            types = (value.type,)
        elif kind == "list":
            types = value.list.type
        # Native code takes the word-piece table as it comes, so that nothing
        # but the one constant of this type may reach it.
        if types_pb2.DT_UINT8 in types and not (
            name == "Tin" or (is_outside and node.op == "Const")
        ):
            yield "makes a tensor of type uint8"
        is_call = kind == "func" and node.op in _CALLS and name == "f"
        if (
            kind == "placeholder"
            or (kind == "func" and (value.func.attr or not is_call))
            or (kind == "list" and value.list.func)
        ):
            yield f"has a function in the attribute {name!r}"
        if name == "config_proto" and not _is_plain(value.s):
            yield "has settings of its own"
    if node.op == "Const" and not {"value", "dtype"} <= node.attr.keys():
        yield "is a constant without a value"
    elif node.op == "Const" and not is_outside:
        elements = math.prod(
            max(size.size, 0)
            for size in node.attr["value"].tensor.tensor_shape.dim
        )
        if elements > _MOST_ELEMENTS:
            yield f"is a constant of {elements:,} elements"
    if node.op in _CALLS and not {"f", "config_proto"} <= node.attr.keys():
        yield "calls nothing"


@functools.cache
def _is_plain(text: bytes) -> bool:
    """Whether a call's settings are those TensorFlow gives every call."""
    try:
        config = config_pb2.ConfigProto.FromString(text)
    except DecodeError:
        return False
    names = {field.name for field, _ in config.ListFields()}
    return (
        names <= _CONFIG
        and not config.experimental.ListFields()
        and set(config.device_count) <= {"CPU", "GPU"}
    )


def _unusual_calls(meta_graph) -> Iterator[str]:
    graph = meta_graph.graph_def
    functions = {f.signature.name: f.node_def for f in graph.library.function}
    calls = {
        name: [called for node in nodes if (called := _function_of(node))]
        for name, nodes in (*functions.items(), ("", graph.node))
    }
    saver = _saver_functions(meta_graph)
    times = collections.Counter(
        called for callers in calls.values() for called in callers
    )
    for name in sorted(times.keys() - functions.keys()):
        yield f"function {name} is called and is not there"
    for name in saver:
        if times[name] != 1:
            yield f"the saver's function {name!r} is called {times[name]} times"
    known = {n: set(c) & functions.keys() for n, c in calls.items()}
    try:
        order = list(graphlib.TopologicalSorter(known).static_order())
    except graphlib.CycleError:
        yield "functions call each other round a circle"
        return
    sizes: dict[str, int] = {}
    for name in order:
        sizes[name] = len(functions.get(name, graph.node)) + sum(
            sizes.get(called, 0) for called in calls[name]
        )
    total = len(graph.node) + sum(map(len, functions.values()))
    for name, size in sizes.items():
        if name and size > _MOST_REPEATED * total:
            yield f"function {name} comes to {size:,} nodes with what it calls"


def _unusual_signatures(meta_graph) -> Iterator[str]:
    nodes = _nodes(meta_graph.graph_def)
    saver = _saver_functions(meta_graph)
    if "serving_default" not in meta_graph.signature_def:
        yield "there is no signature serving_default"
    functions = signature_functions(meta_graph)
    for name, signature in sorted(meta_graph.signature_def.items()):
        if name == INIT_SIGNATURE:
            continue
        for infos, is_expected, expected in (
            (signature.inputs, _is_placeholder, "an input"),
            (signature.outputs, _function_of, "a call"),
        ):
            for info in infos.values():
                node = nodes.get(_node_of(info.name))
                if info.WhichOneof("encoding") != "name":
                    yield f"signature {name} has a tensor in parts"
                elif node is None:
                    yield (
                        f"signature {name} needs the node "
                        f"{_node_of(info.name)}, which is not there"
                    )
                elif not is_expected(node):
                    yield (
                        f"signature {name} names {node.name}, a {node.op}, "
                        f"expected {expected}"
                    )
        if signature.defaults or signature.method_name != _METHOD:
            yield f"signature {name} has defaults or another method"
        if functions[name] in saver or not functions[name]:
            yield f"signature {name} calls {functions[name] or 'no function'}"
    called = collections.Counter(
        _function_of(node) for node in nodes.values() if _function_of(node)
    )
    for name in sorted(called.keys() - {*functions.values(), *saver}):
        yield f"the graph calls function {name}, which no signature does"


def _is_placeholder(node) -> bool:
    return node.op == "Placeholder"


def _unusual_start(meta_graph) -> Iterator[str]:
    """What is run when a session loads the graph: nothing."""
    nodes = _nodes(meta_graph.graph_def)
    initial = []
    for name in sorted(meta_graph.collection_def):
        collection = meta_graph.collection_def[name]
        if name != _INIT_COLLECTION:
            yield f"collection {name}: no export has it"
        elif collection.WhichOneof("kind") != "node_list":
            yield f"collection {name} has no list of nodes"
        else:
            initial += collection.node_list.value
    if INIT_SIGNATURE in meta_graph.signature_def:
        signature = meta_graph.signature_def[INIT_SIGNATURE]
        initial += [info.name for info in signature.outputs.values()]
        if signature.inputs or signature.defaults:
            yield f"signature {INIT_SIGNATURE} has inputs"
    for name in initial:
        node = nodes.get(_node_of(name))
        if node is None or node.op != "NoOp" or node.input:
            yield f"loading runs {name}, expected nothing"


def _unusual_saver(meta_graph) -> Iterator[str]:
    nodes, saver = _nodes(meta_graph.graph_def), meta_graph.saver_def
    prefix = nodes.get(_node_of(saver.filename_tensor_name))
    if prefix is None or prefix.op != "Placeholder":
        yield "the saver has a file name of its own"
        return
    if len({*_saver_functions(meta_graph), ""}) < 3:
        yield "the saver does not have its two functions"
        return
    for node in _saver_nodes(meta_graph):
        if _node_of(node.input[0] if node.input else "") != prefix.name:
            yield f"the saver's node {node.name} has a file name of its own"
    functions = {
        f.signature.name: f for f in meta_graph.graph_def.library.function
    }
    for name in _saver_functions(meta_graph):
        function = functions.get(name)
        arguments = function.signature.input_arg if function else ()
        for node in function.node_def if function else ():
            place = {"RestoreV2": 0, "MergeV2Checkpoints": 1}.get(node.op)
            if place is not None and (
                not arguments or node.input[place:][:1] != [arguments[0].name]
            ):
                yield f"{node.op} of function {name} has another file name"


def _saver_nodes(meta_graph) -> list:
    nodes, saver = _nodes(meta_graph.graph_def), meta_graph.saver_def
    return [
        nodes.get(_node_of(saver.save_tensor_name)),
        nodes.get(_node_of(saver.restore_op_name)),
    ]


def _saver_functions(meta_graph) -> list[str]:
    """Names of the functions that save and restore; empty where not there."""
    return [_function_of(node) for node in _saver_nodes(meta_graph)]


def _unusual_parts(meta_graph) -> Iterator[str]:
    graph = meta_graph.graph_def
    for asset in meta_graph.asset_file_def:
        yield f"asset {asset.filename!r}: no export has assets"
    for kind, parts in (
        ("gradient", graph.library.gradient),
        ("gradient", graph.library.registered_gradients),
        ("alias", meta_graph.meta_info_def.function_aliases),
        ("description", meta_graph.meta_info_def.any_info.type_url),
    ):
        if parts:
            yield f"the graph has a function's {kind}: no export has one"
    for function in graph.library.function:
        attributes = [
            *function.attr,
            *(n for a in function.arg_attr.values() for n in a.attr),
        ]
        for name in sorted({*attributes} - _HINTS - {"_user_specified_name"}):
            yield (
                f"function {function.signature.name} has the attribute {name!r}"
            )
