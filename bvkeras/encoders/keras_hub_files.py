"""Encoders as keras-hub keeps them: directories it has saved, and presets."""

import pathlib
import tempfile
from typing import Any, NamedTuple

import h5py
import keras

from bvkeras import fileio
from bvkeras.encoders.checkpoint_files import read_object
from bvkeras.encoders.families.family import Family
from bvkeras.encoders.families.registry import (
    FAMILIES,
    family_of_class,
)
from bvkeras.encoders.saved_tokenizer import (
    SETTINGS_SCHEMA,
    read_keras_tokenizer,
    read_tokenizer,
    word_piece_settings,
)
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import ArgumentError, BackboneError, BvkerasError
from bvkeras.layers.gelu import check_hidden_act
from bvkeras.printable import one_line
from bvkeras.schema import POSITIVE, TEXT, find_problem, record_of
from bvkeras.stored_weights import h5_weights, require_weights

SIDECAR_FILE = "bvkeras.json"

_SIDECAR_SCHEMA = record_of(
    {"tokenizer": SETTINGS_SCHEMA}, hidden_act=TEXT, sentence_pooling=TEXT
)


class KerasHubEncoder(NamedTuple):
    """What keras-hub's files say of an encoder.

    Attributes:
        backbone: keras.Model. Whose GELU is not set yet.
        tokenizer: Tokenizer.
        hidden_act: str. The GELU it was trained with: "erf" or "tanh".
        sentence_pooling: str. What stands for a whole text: "cls" or "mean".
    """

    backbone: keras.Model
    tokenizer: Tokenizer
    hidden_act: str
    sentence_pooling: str


def load_directory(
    directory: pathlib.Path,
    config: dict[str, Any],
    dropout: float | None,
    dtype: Any,
) -> KerasHubEncoder:
    """Loads what keras-hub, or `Encoder.save`, has saved.

    Args:
        directory: path.
        config: dict. What its config.json says.
        dropout: float. Instead of the saved one. None keeps that.
        dtype: dtype policy. None for Keras' default.

    Raises:
        BackboneError: it is of no family, a file is missing or damaged, or it
            asks for more weights than there are.
    """
    path = directory / "config.json"
    family = family_of_class(config.get("class_name"))
    if family is None:
        names = ", ".join(f.backbone_class.__name__ for f in FAMILIES)
        raise BackboneError(
            f"{path} is for a {config.get('class_name')}, expected one of "
            f"{names}"
        )
    _check_sizes(directory, config, family)
    sidecar_path = directory / SIDECAR_FILE
    # Of what keras-hub has saved.
    sidecar: dict[str, Any] = {
        "hidden_act": family.default_hidden_act,
        "sentence_pooling": "cls",
    }
    if sidecar_path.is_file():
        sidecar = read_object(sidecar_path, _SIDECAR_SCHEMA)
    settings = sidecar.get("tokenizer")
    if settings:
        tokenizer = read_tokenizer(directory, settings)
    else:
        tokenizer = read_keras_tokenizer(directory, family)
    try:
        check_hidden_act(sidecar["hidden_act"])
        check_sentence_pooling(sidecar["sentence_pooling"])
    except ArgumentError as error:
        raise BackboneError(f"{sidecar_path}: {error}") from None
    try:
        backbone = _from_preset(family, str(directory), dropout, dtype)
    except Exception as error:
        raise BackboneError(
            f"{directory} cannot be loaded by keras-hub: {one_line(error)}"
        ) from error
    size = family.vocabulary_size(backbone)
    if tokenizer.vocabulary_size > size:
        raise BackboneError(
            f"{directory / 'assets' / 'tokenizer'} has "
            f"{tokenizer.vocabulary_size} word pieces, config.json says "
            f"vocabulary_size {size}"
        )
    return KerasHubEncoder(
        backbone, tokenizer, sidecar["hidden_act"], sidecar["sentence_pooling"]
    )


def load_preset(
    name: str, dropout: float | None, dtype: Any
) -> KerasHubEncoder:
    """Loads a preset, which keras-hub downloads and keeps.

    Args:
        name: str.
        dropout: float. Instead of the preset's. None keeps that.
        dtype: dtype policy. None for Keras' default.

    Raises:
        BackboneError: there is no such preset, or it cannot be downloaded.
    """
    families = [f for f in FAMILIES if name in f.backbone_class.presets]
    if not families:
        raise BackboneError(
            f"{name!r} is neither a directory nor a keras-hub preset of "
            f"{', '.join(f.name for f in FAMILIES)} (such as "
            "'bert_base_en_uncased') nor organisation/name of a model on the "
            "Hugging Face hub"
        )
    # RoBERTa's class says it has the presets of XLM-RoBERTa's, made of it.
    family = max(families, key=lambda f: len(f.backbone_class.__mro__))
    # kagglehub raises what its network library raises: no common class.
    try:
        keras_tokenizer = family.keras_tokenizer_class.from_preset(name)
        tokenizer = _own_tokenizer(family, keras_tokenizer)
        backbone = _from_preset(family, name, dropout, dtype)
    except BvkerasError:
        raise
    except Exception as error:
        raise BackboneError(
            f"the keras-hub preset {name!r} cannot be downloaded or loaded: "
            f"{one_line(error)}"
        ) from error
    return KerasHubEncoder(
        backbone,
        tokenizer,
        family.preset_hidden_act(name),
        family.preset_sentence_pooling(name),
    )


def _own_tokenizer(family: Family, keras_tokenizer: Any) -> Tokenizer:
    """The tokenizer of Hugging Face's library with keras-hub's vocabulary."""
    if not family.keras_files:
        return WordPiece(
            keras_tokenizer.get_vocabulary(),
            **word_piece_settings(
                keras_tokenizer.lowercase, keras_tokenizer.strip_accents
            ),
        )
    with tempfile.TemporaryDirectory() as folder:
        keras_tokenizer.save_assets(folder)
        paths = [pathlib.Path(folder) / name for name in family.keras_files]
        content = family.tokenizer_content(paths, {})
    assert content is not None
    return Tokenizer(content, family.pad_token)


def _check_sizes(directory, config, family):
    """Compares what a config asks for with what the weights hold."""
    path = directory / "config.json"
    sizes = config.get("config")
    names = [*family.entries.sizes, *family.more_keras_sizes]
    problem = find_problem(
        sizes,
        record_of(
            dict.fromkeys(family.more_keras_sizes, POSITIVE),
            **dict.fromkeys(family.entries.sizes, POSITIVE),
        ),
    )
    if problem:
        raise BackboneError(f"{path}: config: {problem}")
    sizes = {name: sizes[name] for name in names if name in sizes}
    try:
        family.check_sizes(sizes)
    except ValueError as error:
        raise BackboneError(f"{path}: config: {error}") from None
    found, files = 0, sorted(directory.glob("model*.weights.h5"))
    if not files:
        raise BackboneError(f"{directory / 'model.weights.h5'} is missing")
    for file in files:
        try:
            with (
                fileio.open_plain(file, error=BackboneError) as opened,
                h5py.File(opened, "r") as stored,
            ):
                found += h5_weights(stored)
        except (OSError, RuntimeError) as error:
            raise BackboneError(
                f"{file} is damaged: {one_line(error)}"
            ) from None
    wanted, names = family.num_weights(sizes), ", ".join(map(str, files))
    require_weights(path, wanted, names, found, BackboneError)


def _from_preset(family, name, dropout, dtype) -> keras.Model:
    arguments = {"dropout": dropout, "dtype": dtype}
    return family.backbone_class.from_preset(
        name, **{k: v for k, v in arguments.items() if v is not None}
    )
