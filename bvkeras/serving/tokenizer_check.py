"""Whether a graph's tables of words and characters are the tokenizer's.

tensorflow-text takes the table of word pieces as it comes, by offsets within
it: another's bytes can end the process. So the tables are made anew and
compared.
"""

import pathlib
from collections.abc import Collection
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import BvkerasError, DataError, MissingPackageError
from bvkeras.serving import layout

_TABLES = "the tokenizer's tables"
_TYPES = {types_pb2.DT_INT32: "int32", types_pb2.DT_UINT8: "uint8"}


def check_tokenizer(
    version: pathlib.Path,
    description: dict[str, Any],
    meta_graph,
    captured: Collection[str],
) -> None:
    """Compares the graph's constants with those the vocabulary makes.

    Args:
        version: path. A version of an export.
        description: dict. What it says of itself, checked.
        meta_graph: MetaGraphDef.
        captured: set of str. Names of the constants that functions are given.

    Raises:
        DataError: the constants, the vocabulary or its digest are others.
        MissingPackageError: tensorflow-text is not installed.
    """
    path = version / layout.VOCABULARY
    vocabulary = layout.read_vocabulary(version)
    size = description["encoder"]["config"]["vocabulary_size"]
    if len(vocabulary) > size:
        raise DataError(
            f"{path} has {len(vocabulary):,} word pieces, the encoder {size:,}"
        )
    if not all(vocabulary) or any("\0" in piece for piece in vocabulary):
        raise DataError(f"{path} has an empty word piece, or one with a zero")
    try:
        tokenizer = WordPiece(
            vocabulary, **description["tokenizer"]["settings"]
        )
        digest = tokenizer.digest
    except BvkerasError as error:
        raise DataError(f"{path} cannot be used: {error}") from None
    if digest != description["tokenizer"]["digest"]:
        raise DataError(f"{path} is not the one of bvkeras.json")
    graph = meta_graph.graph_def
    constants = {n.name: n for n in graph.node if n.op == "Const"}
    others = constants.keys() - set(captured)
    for name in sorted(others):
        # What the saver writes; no signature is given it.
        value = constants[name].attr["value"].tensor
        if value.dtype != types_pb2.DT_STRING or value.tensor_shape.dim:
            raise DataError(f"constant {name}: no export has it")
    if len(others) > 1:
        raise DataError(f"there are {len(others)} other constants")
    expected = [_key(array) for array in _tables(tokenizer)]
    found = {
        name: _key_of(constants[name].attr["value"].tensor) for name in captured
    }
    for name in sorted(found):
        if found[name] not in expected:
            raise DataError(
                f"constant {name} is none of {_TABLES}, as {path.name} and the "
                "installed tensorflow-text and tokenizers make them"
            )
    if sorted(found.values()) != sorted(expected):
        raise DataError(f"the constants are not {_TABLES}")


def _tables(tokenizer: WordPiece) -> list[np.ndarray]:
    try:
        from bvkeras.serving.text_graph import TextGraph
    except ImportError as error:
        raise MissingPackageError(
            f"tensorflow-text cannot be imported: {error}"
        ) from None
    try:
        return TextGraph(tokenizer).tables()
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{layout.VOCABULARY} cannot be used: {reason}"
        ) from None


def _key(array: np.ndarray) -> tuple:
    return array.dtype.name, array.shape, array.tobytes()


def _key_of(tensor: tensor_pb2.TensorProto) -> tuple:
    """As `_key`, and nothing is made that is larger than what is stored."""
    if tensor.dtype not in _TYPES:
        return "another type", (), b""
    shape = tuple(size.size for size in tensor.tensor_shape.dim)
    content = tensor.tensor_content
    if not content and len(tensor.int_val) == 1:
        # One number alone is not packed.
        content = np.array(tensor.int_val, np.int64).astype(np.int32).tobytes()
    return _TYPES[tensor.dtype], shape, content
