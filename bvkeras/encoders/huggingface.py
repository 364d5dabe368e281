"""Reads a BERT directory in Hugging Face layout, without transformers or torch.

The directory holds config.json, model.safetensors or its shards and their
index, and vocab.txt or tokenizer.json (`save_pretrained` of transformers 5
writes only the latter).
"""

import math
import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np

from bvkeras import fileio
from bvkeras.encoders.checkpoint_files import read_object, refuse_pointer
from bvkeras.encoders.checkpoint_weights import CheckpointWeights
from bvkeras.encoders.config_checks import check_entries
from bvkeras.encoders.families.registry import FAMILIES, family_named
from bvkeras.encoders.pooler_start import draw_pooler
from bvkeras.errors import BackboneError
from bvkeras.printable import printable
from bvkeras.schema import TEXT, list_of, record_of
from bvkeras.stored_weights import require_weights

# Of sentence-transformers: its modules, and the one after the transformer.
_MODULES_FILE = "modules.json"
_MODULES_SCHEMA = list_of(record_of(type=TEXT, path=TEXT))
_POOLING_FOLDER = "1_Pooling"

_HIDDEN_ACTS = {
    "gelu": "erf",
    "gelu_python": "erf",
    "gelu_accurate": "tanh",
    "gelu_fast": "tanh",
    "gelu_new": "tanh",
    "gelu_python_tanh": "tanh",
    "gelu_pytorch_tanh": "tanh",
}


class HuggingFaceBackbone(NamedTuple):
    """A backbone and what its files say beside its weights.

    Attributes:
        backbone: keras.Model. keras-hub's, whose GELU is not set yet.
        hidden_act: str. The GELU its config asks for: "erf" or "tanh".
        path: path. The file with its weights, for messages.
        drawn: list of str. Names of the weights that are in no file: the
            pooler's, which no hidden state depends on, drawn from seed 0.
    """

    backbone: keras.Model
    hidden_act: str
    path: pathlib.Path
    drawn: list[str]


def sentence_pooling(directory: pathlib.Path) -> str:
    """What stands for a whole text, as sentence-transformers trained it.

    Args:
        directory: path.

    Returns:
        "mean" or "first" where the pooling that modules.json names, or
        1_Pooling/config.json, says the mean of the tokens or [CLS], and
        nothing beside it; "cls" where it says anything else, or is not there.

    Raises:
        BackboneError: a file is damaged.
    """
    path = _pooling_path(directory)
    if not path.is_file():
        return "cls"
    config = read_object(path)
    # Newer files name the mode, older ones have a switch for each.
    modes = [config.get("pooling_mode")]
    if modes == [None]:
        prefix = "pooling_mode_"
        modes = [
            name.removeprefix(prefix).removesuffix("_tokens")
            for name, value in config.items()
            if name.startswith(prefix) and value
        ]
    if modes in (["cls"], ["cls_token"]):
        return "first"
    return "mean" if modes == ["mean"] else "cls"


def _pooling_path(directory: pathlib.Path) -> pathlib.Path:
    """The settings of the pooling after the transformer, there or not."""
    path = directory / _MODULES_FILE
    if not path.is_file():
        return directory / _POOLING_FOLDER / "config.json"
    refuse_pointer(path)
    modules = fileio.read_json(path, _MODULES_SCHEMA, error=BackboneError)
    folders = [
        module["path"]
        for module in modules
        if module["type"].rpartition(".")[2] == "Pooling"
    ]
    folder = folders[0] if folders else _POOLING_FOLDER
    if pathlib.PurePath(folder).name != folder or folder == "..":
        raise BackboneError(
            f"{path} names the folder {printable(repr(folder))}, expected one "
            "beside it"
        )
    return directory / folder / "config.json"


def load_backbone(
    directory: pathlib.Path, dropout: float | None, dtype: Any
) -> HuggingFaceBackbone:
    """Builds the backbone of a Hugging Face directory and fills its weights.

    Args:
        directory: path.
        dropout: float. Instead of the config's. None keeps the config's.
        dtype: dtype policy of the backbone. None for Keras' default.

    Returns:
        HuggingFaceBackbone.

    Raises:
        BackboneError: the config is of no family, or of one that keras-hub
            cannot compute; weights are missing, damaged, of other shapes, or
            there are more of them than the encoder has.
    """
    path = directory / "config.json"
    config = read_object(path)
    family = family_named(config.get("model_type"))
    if family is None:
        known = ", ".join(repr(family.model_type) for family in FAMILIES)
        raise BackboneError(
            f"{path} says model_type {config.get('model_type')!r}, expected "
            f"one of {known}"
        )
    check_entries(config, family, path)
    sizes = _checked_sizes(family, config, path)
    if dropout is None:
        dropout = _config_dropout(family, config, path)
    weights = CheckpointWeights(directory)
    require_weights(
        path,
        family.num_weights(sizes),
        weights.path,
        weights.count,
        BackboneError,
    )
    backbone = family.backbone_class(**sizes, dropout=dropout, dtype=dtype)
    has_pooler = _fill_weights(family, backbone, config, weights)
    missing: list[str] = []
    if not has_pooler:
        missing = [m.name for m in family.pooler_tensors(backbone)]
        draw_pooler(family.trained_pooler(backbone), 0)
    hidden_act = _HIDDEN_ACTS[_hidden_act(family, config)]
    return HuggingFaceBackbone(backbone, hidden_act, weights.path, missing)


def _checked_sizes(family, config, path):
    """keras-hub's arguments, once the config is one that it can compute."""
    sizes = family.sizes_of(config)
    for name, entry in family.entries.sizes.items():
        if type(sizes[name]) is not int or sizes[name] < 1:
            raise BackboneError(
                f"{path} must say {entry} as a positive integer, got "
                f"{config.get(entry)!r}"
            )
    activation = _hidden_act(family, config)
    if type(activation) is not str or activation not in _HIDDEN_ACTS:
        raise BackboneError(
            f"{path} says {family.entries.activation} {activation!r}, "
            f"expected one of {', '.join(sorted(_HIDDEN_ACTS))}"
        )
    for entry, (default, possible) in family.entries.fixed.items():
        value = config.get(entry, default)
        if value not in possible:
            raise BackboneError(
                f"{path} says {entry} {value!r}, expected {possible[0]!r}"
            )
    epsilon = config.get("layer_norm_eps", family.entries.default_epsilon)
    if epsilon != family.layer_norm_epsilon:
        raise BackboneError(
            f"{path} says layer_norm_eps {epsilon!r}, expected "
            f"{family.layer_norm_epsilon}: keras-hub's {family.name} computes "
            "no other"
        )
    try:
        family.check_sizes(sizes, family.entries.sizes)
        family.check_config(config)
    except ValueError as error:
        raise BackboneError(f"{path} says {error}") from None
    return sizes


def _hidden_act(family, config):
    return config.get(
        family.entries.activation, family.entries.default_activation
    )


def _config_dropout(family, config, path):
    hidden, attention = (
        config.get(entry, family.entries.default_dropout)
        for entry in family.entries.dropout
    )
    if hidden != attention:
        first, second = family.entries.dropout
        raise BackboneError(
            f"{path} says {first} {hidden} and {second} {attention}; "
            f"keras-hub's {family.name} has one rate for both: pass dropout="
        )
    if type(hidden) not in (int, float) or not 0 <= hidden < 1:
        raise BackboneError(
            f"{path} says {family.entries.dropout[0]} {hidden!r}, expected a "
            "rate from 0 to less than 1"
        )
    return hidden


def _fill_weights(family, backbone, config, weights):
    """Puts the files' tensors in place; whether the pooler's were there."""
    path = weights.path
    tensors = _plainly_named(weights.read(), family.tensor_prefix, path)
    mappings = [*family.tensors(backbone, config)]
    pooler = [*family.pooler_tensors(backbone)]
    has_pooler = any(mapping.name in tensors for mapping in pooler)
    if has_pooler:
        mappings += pooler
    _refuse_unexpected(family, tensors, mappings, path)
    for mapping in mappings:
        variable = mapping.variable
        tensor = _tensor(tensors, mapping.name, path)
        expected = _pytorch_shape(mapping)
        if tensor.shape != expected:
            raise BackboneError(
                f"{path} has {mapping.name} of shape {tensor.shape}, "
                f"config.json makes it {expected}"
            )
        tensor = tensor[mapping.first_row :]
        if mapping.added is not None:
            tensor = tensor + _added(tensors, mapping, path)
        if mapping.num_inputs:
            tensor = tensor.T
        variable.assign(tensor.reshape(variable.shape))
    return has_pooler or not pooler


def _plainly_named(tensors, prefix, path):
    named = {}
    for name, tensor in tensors.items():
        plain = _plain_name(name, prefix)
        if plain in named:
            raise BackboneError(
                f"{path} has {printable(plain)} twice, under two names"
            )
        named[plain] = tensor
    return named


def _refuse_unexpected(family, tensors, mappings, path):
    """Refuses tensors of the encoder itself that nothing is made of.

    Heads, which stand beside it, are another matter.
    """
    used = {mapping.name for mapping in mappings}
    used |= {mapping.added for mapping in mappings if mapping.added}
    parts = {name.split(".")[0] for name in used} | {"encoder", "embeddings"}
    for name in sorted(tensors.keys() - used):
        if name.split(".")[0] in parts and name not in family.idle_tensors:
            raise BackboneError(
                f"{path} has {printable(name)}, which is no part of the "
                f"{family.name} that config.json describes"
            )


def _tensor(tensors, name, path):
    if name not in tensors:
        raise BackboneError(f"{path} has no tensor {name}")
    return np.asarray(tensors[name], dtype=np.float32)


def _added(tensors, mapping, path):
    """The row that is added to every row."""
    table = _tensor(tensors, mapping.added, path)
    features = mapping.variable.shape[-1]
    if table.ndim != 2 or table.shape[1] != features or not len(table):
        raise BackboneError(
            f"{path} has {mapping.added} of shape {table.shape}, config.json "
            f"makes it rows of {features}"
        )
    return table[0]


def _pytorch_shape(mapping):
    """PyTorch keeps kernels as (outputs, inputs), and heads side by side."""
    shape = tuple(mapping.variable.shape)
    size = math.prod(shape)
    if mapping.num_inputs:
        return size // mapping.num_inputs, mapping.num_inputs
    if mapping.name.endswith(".bias"):
        return (size,)
    return shape[0] + mapping.first_row, *shape[1:]


def _plain_name(name, prefix):
    """The name the tensor has in a bare model of today."""
    return (
        name.removeprefix(prefix)
        .replace("LayerNorm.gamma", "LayerNorm.weight")
        .replace("LayerNorm.beta", "LayerNorm.bias")
    )
