"""The tokenizer of a family without word pieces, in Hugging Face's files."""

import pathlib

from bvkeras.encoders.checkpoint_files import (
    read_object,
    read_object_if_there,
)
from bvkeras.encoders.families.family import Family
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.errors import BackboneError

# What tokenizer_config.json says of a tokenizer.json of any kind.
ANY_TOKENIZER = ("PreTrainedTokenizerFast", "TokenizersBackend")


def load_pieces(
    directory: pathlib.Path, vocabulary_size: int, family: Family
) -> Tokenizer:
    """Loads tokenizer.json, or what transformers makes of the older files.

    Args:
        directory: path.
        vocabulary_size: int. Number of embeddings there are.
        family: Family.

    Raises:
        BackboneError: a file is missing or damaged, is for another kind of
            tokenizer, or has more tokens than embeddings.
    """
    config_path = directory / "tokenizer_config.json"
    config = read_object_if_there(config_path) or {}
    declared = config.get("tokenizer_class")
    if declared not in (None, *ANY_TOKENIZER, *family.tokenizer_classes):
        raise BackboneError(
            f"{config_path} says tokenizer_class {declared!r}, expected "
            f"{family.tokenizer_classes[0]}"
        )
    path = directory / "tokenizer.json"
    paths = [directory / name for name in family.tokenizer_files]
    if path.is_file():
        content = read_object(path)
    elif paths[0].is_file():
        path = paths[0]
        content = family.tokenizer_content(paths, config) or {}
    else:
        raise BackboneError(
            f"{directory} has no vocabulary: expected tokenizer.json, or "
            f"{' and '.join(family.tokenizer_files)}"
        )
    pad_token = config.get("pad_token") or family.pad_token
    if isinstance(pad_token, dict):
        pad_token = pad_token.get("content")
    try:
        tokenizer = Tokenizer(content, pad_token)
    except BackboneError as error:
        raise BackboneError(f"{path}: {error}") from None
    if tokenizer.vocabulary_size > vocabulary_size:
        raise BackboneError(
            f"{path} has {tokenizer.vocabulary_size} word pieces, config.json "
            f"says vocab_size {vocabulary_size}"
        )
    return tokenizer
