"""Reads a BERT directory in Hugging Face layout, without transformers or torch.

The directory holds config.json, model.safetensors, and vocab.txt or
tokenizer.json (`save_pretrained` of transformers 5 writes only the latter).
"""

import contextlib
import math
import pathlib
from typing import Any

import keras
import keras_hub
import numpy as np
import safetensors
from safetensors.numpy import load_file

from bvkeras import fileio
from bvkeras.encoders.bert_sizes import bert_weights
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import BackboneError
from bvkeras.printable import one_line
from bvkeras.schema import OBJECT, Schema
from bvkeras.stored_weights import require_weights, safetensors_weights

WEIGHTS_FILE = "model.safetensors"

# Of sentence-transformers: the module after the transformer.
_POOLING_FILE = "1_Pooling/config.json"

_HIDDEN_ACTS = {
    "gelu": "erf",
    "gelu_python": "erf",
    "gelu_accurate": "tanh",
    "gelu_fast": "tanh",
    "gelu_new": "tanh",
    "gelu_python_tanh": "tanh",
    "gelu_pytorch_tanh": "tanh",
}
_LAYER_NORM_EPSILON = 1e-12
# An embedding table may be padded to a multiple of these, for speed.
_VOCABULARY_PADDINGS = (8, 64, 128)
_TOKENIZER_CLASSES = (
    "BertTokenizer",
    "BertTokenizerFast",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
)
_ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}


def read_object(path: pathlib.Path, schema: Schema = OBJECT) -> dict[str, Any]:
    """Reads a JSON file that must hold one object.

    Args:
        path: path.
        schema: mapping. JSON Schema of the object. Defaults to any.

    Raises:
        BackboneError: it is missing, is no JSON, or holds something else.
    """
    try:
        return fileio.read_json(path, schema, error=BackboneError)
    except FileNotFoundError:
        raise BackboneError(f"{path} is missing") from None
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error}") from None


def read_vocabulary(path: pathlib.Path) -> list[str]:
    """Reads a vocabulary file: one word piece a line, UTF-8.

    Raises:
        BackboneError: it is missing or no UTF-8.
    """
    try:
        text = fileio.read_bytes(path, error=BackboneError).decode("utf-8")
    except FileNotFoundError:
        raise BackboneError(f"{path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BackboneError(f"{path} cannot be read: {error}") from None
    # Not splitlines: word pieces may be other characters that end a line.
    return text.removesuffix("\n").split("\n")


def load_tokenizer(directory: pathlib.Path, vocabulary_size: int) -> WordPiece:
    """Loads the tokenizer of a Hugging Face directory.

    Settings come from tokenizer_config.json, else from tokenizer.json, else
    they are Hugging Face's defaults.

    Args:
        directory: path.
        vocabulary_size: int. Number of embeddings the config declares.

    Raises:
        BackboneError: a file is missing or damaged, is for another kind of
            tokenizer, or does not match `vocabulary_size`.
    """
    fast_path = directory / "tokenizer.json"
    fast = read_object(fast_path) if fast_path.is_file() else {}
    path = directory / "vocab.txt"
    if path.is_file():
        vocabulary = read_vocabulary(path)
    elif fast:
        path = fast_path
        vocabulary = _fast_vocabulary(fast, path)
    else:
        raise BackboneError(
            f"{directory} has no vocabulary: expected vocab.txt or "
            "tokenizer.json"
        )
    if not _sizes_match(len(vocabulary), vocabulary_size):
        raise BackboneError(
            f"{path} has {len(vocabulary)} word pieces, config.json says "
            f"vocab_size {vocabulary_size}"
        )

    config_path = directory / "tokenizer_config.json"
    config = read_object(config_path) if config_path.is_file() else {}
    tokenizer_class = config.get("tokenizer_class")
    if tokenizer_class not in (None, *_TOKENIZER_CLASSES):
        raise BackboneError(
            f"{config_path} says tokenizer_class {tokenizer_class!r}, expected "
            "BertTokenizer"
        )
    normalizer = fast.get("normalizer") or {}
    if normalizer.get("type", "BertNormalizer") != "BertNormalizer":
        raise BackboneError(
            f"{fast_path} has a normalizer of type {normalizer['type']!r}, "
            "expected BertNormalizer"
        )
    try:
        return WordPiece(
            vocabulary,
            lowercase=config.get(
                "do_lower_case", normalizer.get("lowercase", True)
            ),
            strip_accents=config.get(
                "strip_accents", normalizer.get("strip_accents")
            ),
            tokenize_chinese_chars=config.get(
                "tokenize_chinese_chars",
                normalizer.get("handle_chinese_chars", True),
            ),
        )
    except BackboneError as error:
        raise BackboneError(f"{path}: {error}") from None


def sentence_pooling(directory: pathlib.Path) -> str:
    """What stands for a whole text, as sentence-transformers trained it.

    Args:
        directory: path.

    Returns:
        "mean" where 1_Pooling/config.json says the mean of the tokens and
        nothing beside it; "cls" where it says anything else, or is not there.

    Raises:
        BackboneError: the file is damaged.
    """
    path = directory / _POOLING_FILE
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
    return "mean" if modes == ["mean"] else "cls"


def load_backbone(
    directory: pathlib.Path, dropout: float | None, dtype: Any
) -> tuple[keras.Model, str]:
    """Builds the backbone of a Hugging Face directory and fills its weights.

    Args:
        directory: path.
        dropout: float. Instead of the config's. None keeps the config's.
        dtype: dtype policy of the backbone. None for Keras' default.

    Returns:
        Tuple of the keras_hub.models.BertBackbone, whose GELU is not set yet,
        and the GELU its config asks for: "erf" or "tanh".

    Raises:
        BackboneError: the config is no BERT that keras-hub can compute, or
            the weights are missing, damaged or of other shapes.
    """
    path = directory / "config.json"
    config = read_object(path)
    _check_config(config, path)
    if dropout is None:
        dropout = _config_dropout(config, path)
    arguments = {ours: config[theirs] for ours, theirs in _ARGUMENTS.items()}
    weights_path = directory / WEIGHTS_FILE
    _check_weights_file(weights_path)
    with _naming_damage(weights_path):
        found = safetensors_weights(weights_path)
    require_weights(
        path, bert_weights(arguments), weights_path, found, BackboneError
    )
    backbone = keras_hub.models.BertBackbone(
        **arguments, dropout=dropout, dtype=dtype
    )
    _fill_weights(backbone, directory)
    return backbone, _HIDDEN_ACTS[config["hidden_act"]]


def _sizes_match(num_pieces, vocabulary_size):
    return vocabulary_size == num_pieces or any(
        vocabulary_size == -(-num_pieces // padding) * padding
        for padding in _VOCABULARY_PADDINGS
    )


def _fast_vocabulary(fast, path):
    model = fast.get("model") or {}
    if model.get("type") != "WordPiece":
        raise BackboneError(
            f"{path} holds a {model.get('type')!r} tokenizer, expected "
            "WordPiece"
        )
    pieces = sorted(model["vocab"].items(), key=lambda item: item[1])
    if [index for _, index in pieces] != list(range(len(pieces))):
        raise BackboneError(
            f"{path} must number its {len(pieces)} word pieces without gaps"
        )
    return [piece for piece, _ in pieces]


def _check_config(config, path):
    if config.get("model_type") != "bert":
        raise BackboneError(
            f"{path} says model_type {config.get('model_type')!r}, expected "
            "'bert'"
        )
    for key in _ARGUMENTS.values():
        if not isinstance(config.get(key), int) or config[key] < 1:
            raise BackboneError(
                f"{path} must say {key} as a positive integer, got "
                f"{config.get(key)!r}"
            )
    if config["hidden_size"] % config["num_attention_heads"]:
        raise BackboneError(
            f"{path} says hidden_size {config['hidden_size']}, expected a "
            f"multiple of num_attention_heads {config['num_attention_heads']}"
        )
    if config.get("hidden_act") not in _HIDDEN_ACTS:
        raise BackboneError(
            f"{path} says hidden_act {config.get('hidden_act')!r}, expected "
            f"one of {', '.join(sorted(_HIDDEN_ACTS))}"
        )
    position = config.get("position_embedding_type", "absolute")
    if position != "absolute":
        raise BackboneError(
            f"{path} says position_embedding_type {position!r}, expected "
            "'absolute'"
        )
    epsilon = config.get("layer_norm_eps", _LAYER_NORM_EPSILON)
    if epsilon != _LAYER_NORM_EPSILON:
        raise BackboneError(
            f"{path} says layer_norm_eps {epsilon!r}, expected "
            f"{_LAYER_NORM_EPSILON}: keras-hub's BERT computes no other"
        )


def _config_dropout(config, path):
    hidden = config.get("hidden_dropout_prob", 0.1)
    attention = config.get("attention_probs_dropout_prob", 0.1)
    if hidden != attention:
        raise BackboneError(
            f"{path} says hidden_dropout_prob {hidden} and "
            f"attention_probs_dropout_prob {attention}; keras-hub's BERT has "
            "one rate for both: pass dropout="
        )
    return hidden


def _fill_weights(backbone, directory):
    path = directory / WEIGHTS_FILE
    tensors = _read_tensors(path)
    pooler = "pooler.dense.weight" in tensors
    for name, variable, num_inputs in _mapping(backbone, pooler):
        if name not in tensors:
            raise BackboneError(f"{path} has no tensor {name}")
        tensor = np.asarray(tensors[name], dtype=np.float32)
        expected = _pytorch_shape(name, tuple(variable.shape), num_inputs)
        if tensor.shape != expected:
            raise BackboneError(
                f"{path} has {name} of shape {tensor.shape}, config.json "
                f"makes it {expected}"
            )
        if num_inputs:
            tensor = tensor.T
        variable.assign(tensor.reshape(variable.shape))


def _pytorch_shape(name, shape, num_inputs):
    """PyTorch keeps kernels as (outputs, inputs), and heads side by side."""
    size = math.prod(shape)
    if num_inputs:
        return size // num_inputs, num_inputs
    return (size,) if name.endswith(".bias") else shape


def _check_weights_file(path):
    if not path.is_file():
        pickles = sorted(path.parent.glob("pytorch_model*.bin"))
        if pickles:
            raise BackboneError(
                f"{pickles[0]} is a pickle, which can run code and is never "
                f"opened here: convert it to {WEIGHTS_FILE} (with "
                "transformers: save_pretrained(..., safe_serialization=True))"
            )
        raise BackboneError(f"{path} is missing")


def _read_tensors(path):
    with _naming_damage(path):
        tensors = load_file(path)
    return {_plain_name(name): tensor for name, tensor in tensors.items()}


@contextlib.contextmanager
def _naming_damage(path):
    try:
        yield
    except (
        *(OSError, ValueError, KeyError),
        safetensors.SafetensorError,
    ) as error:
        raise BackboneError(f"{path} is damaged: {one_line(error)}") from None


def _plain_name(name):
    """The name the tensor has in a bare `BertModel` of today."""
    return (
        name.removeprefix("bert.")
        .replace("LayerNorm.gamma", "LayerNorm.weight")
        .replace("LayerNorm.beta", "LayerNorm.bias")
    )


def _mapping(backbone, pooler):
    """Yields (tensor name, variable, inputs of a dense kernel or 0)."""
    hidden_dim = backbone.hidden_dim
    token_embedding = backbone.token_embedding.embeddings
    positions = backbone.position_embedding.position_embeddings
    segments = backbone.segment_embedding.embeddings
    yield "embeddings.word_embeddings.weight", token_embedding, 0
    yield "embeddings.position_embeddings.weight", positions, 0
    yield "embeddings.token_type_embeddings.weight", segments, 0
    yield from _norm("embeddings.LayerNorm", backbone.embeddings_layer_norm)
    for index, layer in enumerate(backbone.transformer_layers):
        prefix = f"encoder.layer.{index}"
        attention = layer._self_attention_layer
        for part in ("query", "key", "value"):
            yield from _dense(
                f"{prefix}.attention.self.{part}",
                getattr(attention, f"{part}_dense"),
                hidden_dim,
            )
        yield from _dense(
            f"{prefix}.attention.output.dense",
            attention.output_dense,
            hidden_dim,
        )
        yield from _norm(
            f"{prefix}.attention.output.LayerNorm",
            layer._self_attention_layer_norm,
        )
        yield from _dense(
            f"{prefix}.intermediate.dense",
            layer._feedforward_intermediate_dense,
            hidden_dim,
        )
        yield from _dense(
            f"{prefix}.output.dense",
            layer._feedforward_output_dense,
            backbone.intermediate_dim,
        )
        yield from _norm(
            f"{prefix}.output.LayerNorm", layer._feedforward_layer_norm
        )
    if pooler:
        yield from _dense("pooler.dense", backbone.pooled_dense, hidden_dim)


def _norm(name, layer):
    yield f"{name}.weight", layer.gamma, 0
    yield f"{name}.bias", layer.beta, 0


def _dense(name, layer, num_inputs):
    yield f"{name}.weight", layer.kernel, num_inputs
    yield f"{name}.bias", layer.bias, 0
