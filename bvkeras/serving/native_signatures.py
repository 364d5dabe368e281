"""An export's signatures with the encoder in native code."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras.encoders.native_encoder import NativeEncoder
from bvkeras.errors import DataError
from bvkeras.ops.implementation import takes_native
from bvkeras.serving import warm_up
from bvkeras.serving.inspection import Inspection
from bvkeras.serving.parts import read_parts
from bvkeras.serving.served_model import ServedModel

# What rounding may change in a number of an answer, of its size and at all, by
# what the encoder computes in.
_ROUNDING = {"float32": 1e-4, "bfloat16": 0.05}


def native_signatures(
    found: Inspection, graph: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What an export's graph computes, with the native encoder in it.

    The graph stays what counts: the native signatures must give its answers
    to the requests it is warmed up with.

    Args:
        found: Inspection. Of the export.
        graph: mapping of name to function. The loaded graph's signatures.

    Returns:
        dict of name to a concrete function of the same inputs and outputs; or
        None, where the native library is not there, or another bvkeras wrote
        the export, or there is something unusual in it.
    """
    if found.unusual or found.description is None:
        return None
    if not takes_native("auto", tf.float32):
        return None
    try:
        parts = read_parts(found.directory, found.description)
    except DataError:
        # What the graph does with it, it does.
        return None
    model = ServedModel(
        NativeEncoder.of(parts.forward), parts.tokenizer, parts.tasks
    )
    functions = model.signatures()
    if functions.keys() != graph.keys():
        return None
    rounding = _ROUNDING[found.description["encoder"]["dtype"]]
    requests = warm_up.requests(found.description["tasks"])
    for name, inputs in requests.items():
        given, expected = (
            one[name](
                **{key: tf.constant(text) for key, text in inputs.items()}
            )
            for one in (functions, graph)
        )
        if not _are_close(given, expected, rounding):
            return None
    return functions


def _are_close(given, expected, rounding):
    """Of numbers; names and places follow from them."""
    if given.keys() != expected.keys():
        return False
    for name, values in expected.items():
        if values.dtype != given[name].dtype:
            return False
        if values.shape != given[name].shape:
            return False
        if not values.dtype.is_floating:
            continue
        found, wanted = given[name].numpy(), values.numpy()
        if name == "hidden_states":
            # What stands in padding has no meaning.
            real = expected["padding_mask"].numpy() == 1
            found, wanted = found[real], wanted[real]
        if not np.allclose(found, wanted, rounding, rounding, equal_nan=True):
            return False
    return True
