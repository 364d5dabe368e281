"""Encoders on the Hugging Face hub: safe files alone, of one commit."""

import os
import pathlib
import re
from typing import NamedTuple

import huggingface_hub
from huggingface_hub import constants, errors

from bvkeras.errors import BackboneError
from bvkeras.printable import one_line

SCHEME = "hf://"
# Nothing that can run code: no pickle, no Python. What is not named here is
# never downloaded.
SAFE_FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
_PART = r"[A-Za-z0-9][\w.-]*"
_PLAIN = re.compile(rf"{_PART}/{_PART}(@{_PART})?")
_NAME = re.compile(rf"((?:{_PART}/)?{_PART})(?:@({_PART}(?:/{_PART})*))?")


class HubSnapshot(NamedTuple):
    """One commit of a model on the hub, in the local cache.

    Attributes:
        directory: path. Its files.
        name: str. `hf://organisation/name@commit`, which opens it again.
    """

    directory: pathlib.Path
    name: str


def is_on_hub(name: str | os.PathLike) -> bool:
    """Whether a name is one of the hub's, and nothing that lies here.

    Args:
        name: str or path. `hf://…`, or `organisation/name` where there is no
            file or folder of that name.
    """
    name = os.fspath(name)
    if name.startswith(SCHEME):
        return True
    here = pathlib.Path(name).expanduser().exists()
    return not here and _PLAIN.fullmatch(name) is not None


def snapshot(name: str) -> HubSnapshot:
    """A model's files: from the local cache, or downloaded into it.

    Args:
        name: str. `hf://organisation/name`, with or without `@revision` (a
            branch, a tag or a commit; defaults to `main`) and `hf://`.

    Raises:
        BackboneError: there is no such model or revision, it is gated, it
            cannot be downloaded, it is not in the local cache where nothing
            may be (`HF_HUB_OFFLINE`), or none of its files is safetensors.
    """
    plain = name.removeprefix(SCHEME)
    parts = _NAME.fullmatch(plain)
    if parts is None:
        raise BackboneError(
            f"{name!r} is no model on the hub: expected "
            f"{SCHEME}organisation/name, or with @revision"
        )
    model, revision = parts.groups()
    where = f"{SCHEME}{plain}"
    if name == plain:
        where = f"{name!r} is neither a directory nor a preset; {where}"
    try:
        directory = pathlib.Path(
            huggingface_hub.snapshot_download(
                model, revision=revision, allow_patterns=list(SAFE_FILES)
            )
        )
    except Exception as error:
        # Some are of the network library's own classes.
        raise BackboneError(
            f"{where}: {_problem(error, model, revision)}"
        ) from error
    if not any(directory.glob("model*.safetensors")):
        raise BackboneError(
            f"{where} has no model.safetensors: weights of other kinds, as "
            "pytorch_model.bin, may be pickles, which can run code and are "
            "never downloaded or opened here"
        )
    return HubSnapshot(directory, f"{SCHEME}{model}@{directory.name}")


def pinned(name: str | os.PathLike, earlier: str | None = None) -> str:
    """A name that opens the same encoder tomorrow, where that can be known.

    Args:
        name: str or path. What `load_backbone` opens.
        earlier: str. What an earlier part of the work opened. If that is a
            commit of the same model, and `name` says no revision, it stays.

    Returns:
        `hf://organisation/name@commit` of a model on the hub; any other name
        as it is.

    Raises:
        BackboneError: as `snapshot`.
    """
    name = os.fspath(name)
    if not is_on_hub(name):
        return name
    model, _, revision = name.removeprefix(SCHEME).partition("@")
    if earlier and not revision and earlier.startswith(f"{SCHEME}{model}@"):
        return earlier
    return snapshot(name).name


def _problem(error: Exception, model: str, revision: str | None) -> str:
    """What went wrong, for people."""
    if isinstance(error, errors.GatedRepoError):
        return (
            "is gated: accept its terms on its page at the hub, then log in "
            "with `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the model has no revision {revision!r}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the hub has no model {model!r}, or it is private and HF_TOKEN "
            "does not open it"
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        cache = f"and the cache {constants.HF_HUB_CACHE} does not have it whole"
        if constants.HF_HUB_OFFLINE:
            return f"HF_HUB_OFFLINE forbids downloads, {cache}"
        return f"the hub cannot be reached, {cache}"
    if isinstance(error, errors.HFValidationError):
        return f"is no name of the hub ({one_line(error)})"
    return f"cannot be downloaded: {one_line(error)}"
