"""What may stand in the object graph of an export.

Loading makes every object that stands there and runs functions of some kinds
of them; so an export's own few kinds are known by their places, and nothing
else is let through.
"""

from collections.abc import Iterator
from typing import NamedTuple

from bvkeras.errors import DataError
from bvkeras.serving.graph_check import signature_functions

_MODULE = "_generic_user_object"
_LIST = "trackable_list_wrapper"
_DICT = "trackable_dict_wrapper"
_SIGNATURES = "signature_map"
_CONSTANT = "tf.TrackableConstant"
_PARTS = {"encoder", "heads", "signatures"}
# What the shape of a signature's inputs and outputs is written with.
_STRUCTURES = frozenset(
    {
        *("none_value", "bool_value", "string_value", "int64_value"),
        *("tensor_spec_value", "list_value", "tuple_value", "dict_value"),
    }
)
_RECORD = "FullArgSpec"


class Objects(NamedTuple):
    """What an object graph holds.

    Attributes:
        variables: dict of name (`encoder/0`, `heads/sst2/1`) to its TensorFlow
            type (an int) and shape (a tuple).
        constants: set of names of nodes in the graph.
    """

    variables: dict[str, tuple[int, tuple[int, ...]]]
    constants: set[str]


def check_objects(meta_graph) -> Objects:
    """Walks through the object graph from its root.

    Args:
        meta_graph: MetaGraphDef.

    Raises:
        DataError: there is none, or it has an object, a name or a function
            that no export has.
    """
    if not meta_graph.HasField("object_graph_def"):
        raise DataError(
            "the object graph is missing: loading would run the graph itself"
        )
    return _Walk(meta_graph).objects()


class _Walk:
    def __init__(self, meta_graph):
        self._graph = meta_graph.object_graph_def
        self._nodes = self._graph.nodes
        self._functions = signature_functions(meta_graph)
        self._operations = {n.name: n.op for n in meta_graph.graph_def.node}
        self._seen = set()
        self._variable_ids = set()
        self._constant_ids = set()
        self._objects = Objects({}, set())

    def objects(self) -> Objects:
        children = self._children(0, _MODULE, "root")
        if children.keys() != _PARTS:
            raise DataError(
                f"object root has {sorted(children)}, expected {sorted(_PARTS)}"
            )
        self._variables(children["encoder"], "encoder")
        heads = self._children(children["heads"], _DICT, "heads")
        for name, node_id in heads.items():
            self._variables(node_id, f"heads/{name}")
        signatures = self._children(
            children["signatures"], _SIGNATURES, "signatures"
        )
        if signatures.keys() != self._functions.keys():
            raise DataError("the object graph has other signatures")
        for name, node_id in signatures.items():
            self._signature(node_id, name)
        unseen = len(self._nodes) - len(self._seen)
        if unseen:
            raise DataError(f"{unseen} objects have no place in an export")
        concrete = self._graph.concrete_functions
        if concrete.keys() != set(self._functions.values()):
            raise DataError("the object graph has functions of no signature")
        for name, function in concrete.items():
            self._function(function, name)
        return self._objects

    def _node(self, node_id: int, kind: str, where: str):
        """A node, if it has nothing that loading would act on."""
        if not 0 <= node_id < len(self._nodes):
            raise DataError(f"object {where} is not there")
        node = self._nodes[node_id]
        found = node.WhichOneof("kind")
        if found != kind:
            raise DataError(f"object {where} is a {found}, expected a {kind}")
        if node.saveable_objects:
            raise DataError(f"object {where} has functions to restore it")
        registered = _CONSTANT if kind == "constant" else ""
        if (
            node.registered_name != registered
            or node.registered_saver
            or node.HasField("serialized_user_proto")
        ):
            raise DataError(
                f"object {where} is of the registered class "
                f"{node.registered_name or node.registered_saver!r}"
            )
        if node.slot_variables:
            raise DataError(f"object {where} has slot variables")
        names = [child.local_name for child in node.children]
        if len(set(names)) < len(names):
            raise DataError(f"object {where} has two children of one name")
        if kind != "constant" and node_id in self._seen:
            raise DataError(f"object {where} has two places")
        self._seen.add(node_id)
        return node

    def _children(self, node_id, identifier, where) -> dict[str, int]:
        node = self._node(node_id, "user_object", where)
        if node.user_object.identifier != identifier:
            raise DataError(
                f"object {where} is a {node.user_object.identifier!r}, "
                f"expected a {identifier!r}"
            )
        if node.dependencies or node.user_object.metadata:
            raise DataError(f"object {where} needs others to be made")
        return {child.local_name: child.node_id for child in node.children}

    def _variables(self, node_id, where):
        children = self._children(node_id, _LIST, where)
        if children.keys() != set(map(str, range(len(children)))):
            raise DataError(f"object {where} is no list")
        for name, child in children.items():
            self._variable(child, f"{where}/{name}")

    def _variable(self, node_id, where):
        node = self._node(node_id, "variable", where)
        variable = node.variable
        if (
            node.children
            or node.dependencies
            or variable.device
            or variable.experimental_distributed_variable_components
            or variable.synchronization
            or variable.aggregation
        ):
            raise DataError(f"variable {where} is distributed or has parts")
        sizes = tuple(size.size for size in variable.shape.dim)
        if variable.shape.unknown_rank or any(size < 0 for size in sizes):
            raise DataError(f"variable {where} has no fixed shape")
        self._variable_ids.add(node_id)
        self._objects.variables[where] = (variable.dtype, sizes)

    def _signature(self, node_id, name):
        where = f"signatures/{name}"
        node = self._node(node_id, "bare_concrete_function", where)
        function = node.bare_concrete_function
        if function.concrete_function_name != self._functions[name]:
            raise DataError(
                f"signature {name} calls {function.concrete_function_name}, in "
                f"the graph {self._functions[name]}"
            )
        self._spec(function.function_spec, where)
        children = [(c.local_name, c.node_id) for c in node.children]
        needed = [(c.local_name, c.node_id) for c in node.dependencies]
        if children != needed:
            raise DataError(f"signature {name} needs other objects")
        for child_name, child in children:
            if not child_name.startswith("capture_"):
                raise DataError(f"signature {name} has a {child_name!r}")
            self._constant(child, f"{where}/{child_name}")

    def _constant(self, node_id, where):
        node = self._node(node_id, "constant", where)
        operation = node.constant.operation
        if self._operations.get(operation) != "Const":
            raise DataError(f"object {where} is no constant: {operation!r}")
        if node.children or node.dependencies:
            raise DataError(f"object {where} has parts")
        self._constant_ids.add(node_id)
        self._objects.constants.add(operation)

    def _function(self, function, name):
        known = self._variable_ids | self._constant_ids
        if not known.issuperset(function.bound_inputs):
            raise DataError(f"function {name} takes an object of no such kind")
        for value in (
            function.canonicalized_input_signature,
            function.output_signature,
        ):
            _check_structure(value, f"function {name}")

    def _spec(self, spec, where):
        _check_structure(spec.fullargspec, where, is_record=True)
        _check_structure(spec.input_signature, where)


def _check_structure(value, where: str, is_record: bool = False) -> None:
    """Refuses structures that name a type of Python or TensorFlow."""
    kind = value.WhichOneof("kind")
    if is_record and kind == "named_tuple_value":
        if value.named_tuple_value.name != _RECORD or any(
            not pair.key.isidentifier()
            for pair in value.named_tuple_value.values
        ):
            raise DataError(f"{where} has a record of another name")
        inner = [pair.value for pair in value.named_tuple_value.values]
    elif kind in _STRUCTURES:
        inner = list(_parts(value, kind))
    else:
        raise DataError(f"{where} has a {kind} among its inputs or outputs")
    for part in inner:
        _check_structure(part, where)


def _parts(value, kind: str | None) -> Iterator:
    if kind in ("list_value", "tuple_value"):
        yield from getattr(value, kind).values
    elif kind == "dict_value":
        yield from value.dict_value.fields.values()
