"""The encoder, tokenizer and heads of an export, read as arrays."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bvkeras.encoders.families.registry import family_of_config
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import DataError
from bvkeras.layers.gelu import set_hidden_act
from bvkeras.serving import layout
from bvkeras.serving.description import check_sizes
from bvkeras.serving.served_task import ServedTask
from bvkeras.serving.variables_check import read_shapes


class ExportParts(NamedTuple):
    """What an export is made of.

    Attributes:
        forward: FastEncoder.
        tokenizer: WordPiece.
        tasks: list of ServedTask.
    """

    forward: FastEncoder
    tokenizer: WordPiece
    tasks: list[ServedTask]


def read_parts(
    version: pathlib.Path, description: dict[str, Any]
) -> ExportParts:
    """Reads an export's weights; nothing of its graph is run.

    Args:
        version: path. Look at it first: `bvkeras.serving.inspect`.
        description: dict. What `layout.read_description` gave of it.

    Raises:
        DataError: it cannot be read.
    """
    about = description["encoder"]
    shapes = read_shapes(version)
    check_sizes(
        description, {name: shape for name, (_, shape) in shapes.items()}
    )
    reader = _reader(version)
    tasks = [
        ServedTask.from_description(
            name, task, _arrays(reader, f"heads/{name}")
        )
        for name, task in description["tasks"].items()
    ]
    backbone = _backbone(about["config"])
    forward = FastEncoder(backbone, compute_dtype=about["dtype"])
    arrays = iter(_arrays(reader, "encoder"))
    forward.map_weights(lambda weight: tf.constant(next(arrays)))
    vocabulary = layout.read_vocabulary(version)
    tokenizer = WordPiece(vocabulary, **description["tokenizer"]["settings"])
    return ExportParts(forward, tokenizer, tasks)


def _reader(version: pathlib.Path):
    path = version / layout.VARIABLES
    try:
        return tf.train.load_checkpoint(str(path))
    except (tf.errors.OpError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _arrays(reader, prefix: str) -> list[np.ndarray]:
    """The arrays of a list of variables, in its order."""
    found = {}
    shapes = reader.get_variable_to_shape_map()
    for key in shapes:
        if key.startswith(f"{prefix}/"):
            number, _, rest = key.removeprefix(f"{prefix}/").partition("/")
            if number.isdigit() and rest == ".ATTRIBUTES/VARIABLE_VALUE":
                found[int(number)] = reader.get_tensor(key)
    if not found or sorted(found) != list(range(len(found))):
        raise DataError(f"the export's variables lack some of {prefix}")
    return [found[number] for number in range(len(found))]


def _backbone(config: dict[str, Any]):
    """A backbone of the sizes of an exported one."""
    try:
        family = family_of_config(config)
        backbone = family.backbone_class(
            **family.arguments(config), dropout=0.0
        )
        set_hidden_act(backbone, config["hidden_act"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{layout.DESCRIPTION}: encoder cannot be read: {error}"
        ) from None
    return backbone
