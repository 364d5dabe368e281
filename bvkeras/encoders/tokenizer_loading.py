"""The tokenizer in a Hugging Face directory, from all files that speak of it.

What transformers 5 makes of them decides. With `tokenizer_class`
BertTokenizer, or none, it takes the vocabulary of tokenizer.json (else of
vocab.txt), builds BERT's own pipeline on it and leaves out what else
tokenizer.json says; transformers 4 does not leave it out. Where that makes a
difference the directory is refused. With PreTrainedTokenizerFast or
TokenizersBackend both take tokenizer.json as it is.
"""

import json
import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import tokenizers

from bvkeras.encoders.bert_content import bert_content, word_piece_of
from bvkeras.encoders.checkpoint_files import (
    read_object,
    read_object_if_there,
)
from bvkeras.encoders.families.family import Family
from bvkeras.encoders.tokenizer import Tokenizer, backend
from bvkeras.encoders.tokenizer_files import TokenizerFiles, shown, text_of
from bvkeras.errors import BackboneError
from bvkeras.printable import printable

# Those of transformers whose pipeline is BERT's.
_BERT_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
_GENERAL_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")
_ROLES = {
    "bos_token": None,
    "eos_token": None,
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")

# Settings that one version of transformers applies and another does not, or
# that are not done here; with the values that change nothing.
_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "truncation_side": (None, "right"),
    "split_special_tokens": (None, False),
    "never_split": (None, []),
    "do_basic_tokenize": (None, True),
    "wordpieces_prefix": (None, "##"),
    "clean_text": (None, True),
    "auto_map": (None, {}),
}


def load_tokenizer(
    directory: pathlib.Path, vocabulary_size: int, family: Family
) -> Tokenizer:
    """Loads the tokenizer of a Hugging Face directory.

    Args:
        directory: path.
        vocabulary_size: int. Number of embeddings there are.
        family: Family. The encoder's. Of one whose tokenizer is not BERT's,
            tokenizer.json is taken as it is, or what transformers makes of
            its older files.

    Returns:
        WordPiece where it is plain BERT's, else Tokenizer.

    Raises:
        BackboneError: a file is missing or damaged; files contradict one
            another, or say what is not done here; there are more tokens than
            embeddings.
    """
    files = TokenizerFiles.read(directory, family.tokenizer_files[0])
    # Before anything is made of it.
    files.added_ids()
    declared = files.config.get("tokenizer_class")
    if declared is None:
        config = read_object(directory / "config.json")
        declared = config.get("tokenizer_class")
    own = family.tokenizer_classes[0]
    name = str(declared or own).removesuffix("Fast")
    of_bert = _BERT_CLASSES if not family.keras_files else ()
    if name not in (*of_bert, *_GENERAL_CLASSES, *family.tokenizer_classes):
        raise BackboneError(
            f"{files.config_path} says tokenizer_class {declared!r}, expected "
            f"{own}"
        )
    is_bert = name in of_bert
    if not files.path.is_file():
        names = " and ".join(family.tokenizer_files)
        raise BackboneError(
            f"{directory} has no vocabulary: expected {names} or tokenizer.json"
        )
    _check_settings(files)
    base = files.content
    if is_bert:
        base = bert_content(files)
    elif base is None and not family.keras_files:
        raise BackboneError(
            f"{files.config_path} says tokenizer_class {declared!r}, which "
            "needs tokenizer.json"
        )
    elif base is None:
        paths = [directory / name for name in family.tokenizer_files]
        base = family.tokenizer_content(paths, files.config) or {}
    try:
        made = backend(base)
    except BackboneError as error:
        raise BackboneError(f"{files.path}: {error}") from None
    made.add_tokens(list(_added_tokens(files, is_bert, made)))
    _check_added(files, made)
    _check_vocabulary(files, made)
    # Ids and flags of added tokens are as the library gave them.
    added = json.loads(made.to_str())["added_tokens"]
    content = {**base, "added_tokens": added}
    pad_token = _pad_token(files, is_bert, family)
    try:
        tokenizer = word_piece_of(content) or Tokenizer(content, pad_token)
    except BackboneError as error:
        raise BackboneError(f"{files.path}: {error}") from None
    if tokenizer.vocabulary_size > vocabulary_size:
        raise BackboneError(
            f"{files.path} has {tokenizer.vocabulary_size} word pieces, "
            f"config.json says vocab_size {vocabulary_size}"
        )
    return tokenizer


def _check_settings(files):
    for name, values in _REFUSED.items():
        value = files.config.get(name)
        if value not in values:
            raise BackboneError(
                f"{files.config_path} says {name} {shown(value)}, expected "
                f"{values[-1]!r}"
            )
    path = files.directory / "sentence_bert_config.json"
    sentence = read_object_if_there(path) or {}
    lowercases = files.config.get("do_lower_case", True)
    if sentence.get("do_lower_case") and not lowercases:
        raise BackboneError(
            f"{path} says do_lower_case true, {files.config_path.name} says "
            "false"
        )


def _added_tokens(
    files: TokenizerFiles, is_bert: bool, made: tokenizers.Tokenizer
) -> Iterator[tokenizers.AddedToken]:
    """The tokens to add, in transformers' order: ids follow from it."""
    special = dict(_special_tokens(files, is_bert, made))
    seen = set()
    for _, token in sorted(_numbered(files, special).items()):
        if token["content"] in special:
            token = {**token, "special": True}
        seen.add(token["content"])
        yield tokenizers.AddedToken(**token)
    for content, token in special.items():
        if content not in seen:
            yield tokenizers.AddedToken(**{**token, "special": True})


def _numbered(files, special):
    """Added tokens that come with an id."""
    numbered = {}
    if files.has_decoder:
        for number, token in files.config["added_tokens_decoder"].items():
            numbered[_id(number, files.config_path)] = _token(
                token, files.config_path
            )
        return numbered
    for content, number in files.added.items():
        path = files.directory / "added_tokens.json"
        is_special = content in special
        numbered[_id(number, path)] = {
            "content": content,
            "normalized": not is_special,
            "special": is_special,
        }
    for token in _file_tokens(files):
        numbered[_id(token.get("id"), files.path)] = _token(token, files.path)
    return numbered


def _file_tokens(files) -> list[dict[str, Any]]:
    tokens = (files.content or {}).get("added_tokens") or []
    if not isinstance(tokens, list) or not all(
        isinstance(token, dict) for token in tokens
    ):
        raise BackboneError(
            f"{files.path}: added_tokens: expected a list of objects"
        )
    return tokens


def _special_tokens(files, is_bert, made):
    """Tokens with a role, and others that are special, by their text."""
    for name, default in _ROLES.items():
        content = files.role(name)
        if content is None:
            # As [MASK], which not every vocabulary has.
            if not is_bert or made.token_to_id(default or "") is None:
                continue
            content = default
        given = files.config.get(name)
        if not files.has_decoder:
            given = files.special.get(name, given)
        yield content, _as_token(given, content, files.config_path)
    sources = (
        [files.config] if files.has_decoder else [files.config, files.special]
    )
    for source in sources:
        for key in ("additional_special_tokens", "extra_special_tokens"):
            more = source.get(key) or []
            if not isinstance(more, (list, dict)):
                raise BackboneError(
                    f"{files.config_path}: {key}: expected a list of tokens, "
                    f"got {shown(more)}"
                )
            for value in more.values() if isinstance(more, dict) else more:
                content = text_of(value, files.config_path)
                yield content, _as_token(value, content, files.config_path)
    for key, value in files.config.items():
        if key.endswith("_token") and key not in _ROLES and type(value) is str:
            yield value, _as_token(value, value, files.config_path)


def _check_added(files, made):
    """Refuses a token that a file declares and the tokenizer has not so."""
    path = files.directory / "added_tokens.json"
    stated = [(path, *item) for item in files.added.items()]
    if files.has_decoder:
        stated += [
            (files.config_path, *item) for item in files.added_ids().items()
        ]
    stated += [
        (files.path, token.get("content"), token.get("id"))
        for token in _file_tokens(files)
    ]
    for path, content, number in stated:
        found = made.token_to_id(content)
        if found != _id(number, path):
            raise BackboneError(
                f"{path} has {shown(content)} as token {number}; the other "
                f"files make it {'no token' if found is None else found}"
            )
    flags = {
        token.content: token
        for token in made.get_added_tokens_decoder().values()
    }
    for token in _file_tokens(files):
        found = flags.get(token["content"])
        if found is None or any(
            token.get(name, getattr(found, name)) != getattr(found, name)
            for name in _FLAGS
        ):
            raise BackboneError(
                f"{files.path} and {files.config_path.name} have the added "
                f"token {shown(token['content'])} with other settings"
            )
    path = files.directory / "special_tokens_map.json"
    for name, value in files.special.items():
        values = value if isinstance(value, list) else [value]
        if isinstance(value, dict) and "content" not in value:
            values = list(value.values())
        for one in values:
            content = text_of(one, path)
            role = files.role(name) if name in _ROLES else None
            if made.token_to_id(content) is None or (
                role is not None and role != content
            ):
                raise BackboneError(
                    f"{path} says {name} {shown(content)}, "
                    f"{files.config_path.name} does not"
                )


def _check_vocabulary(files, made):
    """Says where vocab.txt is another vocabulary than tokenizer.json."""
    if files.content is None or files.vocabulary is None:
        return
    ids = made.get_vocab()
    for number, piece in enumerate(files.vocabulary):
        if ids.get(piece) != number:
            logging.getLogger("bvkeras").warning(
                "%s",
                printable(
                    f"{files.directory / 'vocab.txt'} has {shown(piece)} as "
                    f"piece {number}, tokenizer.json as {ids.get(piece)}; "
                    "tokenizer.json is used"
                ),
            )
            return


def _pad_token(files, is_bert, family):
    given = files.role("pad_token")
    padding = (files.content or {}).get("padding")
    if given is None and not is_bert and isinstance(padding, dict):
        given = padding.get("pad_token")
    return family.pad_token if given is None else given


def _as_token(given, content, path):
    if isinstance(given, dict):
        return _token(given, path)
    return {"content": content, "normalized": False}


def _token(value, path) -> dict[str, Any]:
    """The arguments of an AddedToken, checked."""
    if not isinstance(value, dict) or not all(
        type(value.get(name, False)) is bool for name in _FLAGS
    ):
        raise BackboneError(
            f"{path}: expected an added token, got {shown(value)}"
        )
    flags = {name: value[name] for name in _FLAGS if name in value}
    return {"content": text_of(value, path), **flags}


def _id(value, path) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    if type(value) is not int or value < 0:
        raise BackboneError(
            f"{path}: expected the id of a token, got {shown(value)}"
        )
    return value
