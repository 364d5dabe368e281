"""The tokenizer in a directory that `Encoder.save` wrote."""

import pathlib
from collections.abc import Mapping
from typing import Any

from bvkeras import fileio
from bvkeras.encoders.checkpoint_files import read_object, read_vocabulary
from bvkeras.encoders.families.family import Family
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import BackboneError
from bvkeras.schema import OBJECT, TEXT, Schema, record_of

# What a tokenizer.json of Hugging Face holds; keras-hub has one of its own.
_CONTENT_FILE = "huggingface_tokenizer.json"
_ASSETS = pathlib.PurePath("assets", "tokenizer")
_VOCABULARY_FILE = _ASSETS / "vocabulary.txt"

_FLAG = {"type": ["boolean", "null"]}
# The arguments of `WordPiece`, or of `Tokenizer`.
SETTINGS_SCHEMA: Schema = {
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(
            ("lowercase", "strip_accents", "tokenize_chinese_chars"), _FLAG
        ),
        "pad_token": TEXT,
    },
}

_KERAS_SCHEMA = record_of(
    {
        "config": {
            **OBJECT,
            "properties": dict.fromkeys(("lowercase", "strip_accents"), _FLAG),
        }
    }
)


def write_tokenizer(
    tokenizer: Tokenizer, family: Family, directory: pathlib.Path
) -> None:
    """Writes a tokenizer beside a backbone.

    BERT's as keras-hub writes it for the family; of any other the content of
    its tokenizer.json. `Tokenizer.settings` is what else there is to keep.
    """
    if isinstance(tokenizer, WordPiece):
        family.keras_tokenizer_class(
            tokenizer.vocabulary,
            lowercase=tokenizer.lowercase,
            strip_accents=tokenizer.strip_accents,
        ).save_to_preset(str(directory))
    else:
        fileio.write_json(directory / _CONTENT_FILE, tokenizer.content)


def read_tokenizer(
    directory: pathlib.Path, settings: Mapping[str, Any]
) -> Tokenizer:
    """Reads what `write_tokenizer` wrote.

    Args:
        directory: path.
        settings: mapping. `Tokenizer.settings` of it.

    Raises:
        BackboneError: a file is missing or damaged.
    """
    is_general = "pad_token" in settings
    path = directory / (_CONTENT_FILE if is_general else _VOCABULARY_FILE)
    try:
        if is_general:
            return Tokenizer(read_object(path), **settings)
        return WordPiece(read_vocabulary(path), **settings)
    except (BackboneError, TypeError) as error:
        problem = str(error)
        if not problem.startswith(str(path)):
            problem = f"{path}: {problem}"
        raise BackboneError(problem) from None


def read_keras_tokenizer(directory: pathlib.Path, family: Family) -> Tokenizer:
    """Reads the tokenizer that keras-hub has saved with an encoder.

    Args:
        directory: path.
        family: Family. The encoder's.

    Raises:
        BackboneError: a file is missing or damaged, or is for the tokenizer
            of another family.
    """
    path = directory / "tokenizer.json"
    content = read_object(path, _KERAS_SCHEMA)
    expected = family.keras_tokenizer_class.__name__
    if content.get("class_name") != expected:
        raise BackboneError(
            f"{path} is for a {content.get('class_name')}, expected {expected}"
        )
    if family.keras_files:
        paths = [directory / _ASSETS / name for name in family.keras_files]
        made = family.tokenizer_content(paths, {})
        return Tokenizer(made or {}, family.pad_token)
    config = content.get("config", {})
    settings = word_piece_settings(
        config.get("lowercase", False), config.get("strip_accents", False)
    )
    return read_tokenizer(directory, settings)


def word_piece_settings(lowercase: bool, strip_accents: bool) -> dict[str, Any]:
    """What Hugging Face does where keras-hub's tokenizer has `lowercase`.

    keras-hub leaves accents in place, which no uncased BERT was trained with.
    """
    return {
        "lowercase": lowercase,
        "strip_accents": True if strip_accents else None,
    }
