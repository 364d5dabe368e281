"""The tokenizer in a directory that `Encoder.save` wrote."""

import pathlib
from collections.abc import Mapping
from typing import Any

import keras_hub

from bvkeras import fileio
from bvkeras.encoders.huggingface import read_object, read_vocabulary
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import BackboneError
from bvkeras.schema import TEXT, Schema

# What a tokenizer.json of Hugging Face holds; keras-hub has one of its own.
_CONTENT_FILE = "huggingface_tokenizer.json"
VOCABULARY_FILE = "assets/tokenizer/vocabulary.txt"

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


def write_tokenizer(tokenizer: Tokenizer, directory: pathlib.Path) -> None:
    """Writes a tokenizer beside a backbone.

    BERT's as keras-hub writes it; of any other the content of its
    tokenizer.json. `Tokenizer.settings` is what else there is to keep.
    """
    if isinstance(tokenizer, WordPiece):
        keras_hub.models.BertTokenizer(
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
    path = directory / (_CONTENT_FILE if is_general else VOCABULARY_FILE)
    try:
        if is_general:
            return Tokenizer(read_object(path), **settings)
        return WordPiece(read_vocabulary(path), **settings)
    except (BackboneError, TypeError) as error:
        problem = str(error)
        if not problem.startswith(str(path)):
            problem = f"{path}: {problem}"
        raise BackboneError(problem) from None
