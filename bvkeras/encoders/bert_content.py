"""BERT's tokenizer as a tokenizer.json says it, and what is equal to it."""

from collections.abc import Mapping
from typing import Any

from bvkeras.encoders.tokenizer import backend, special_tokens_of
from bvkeras.encoders.tokenizer_files import TokenizerFiles
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import BackboneError
from bvkeras.printable import one_line

_MODEL = {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
}
_NAMES = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
}
_MASK = "[MASK]"
_PLAIN = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
# Settings of transformers, of `tokenizers`, and their defaults.
_SETTINGS = (
    ("do_lower_case", "lowercase", True),
    ("strip_accents", "strip_accents", None),
    ("tokenize_chinese_chars", "handle_chinese_chars", True),
)


def bert_content(files: TokenizerFiles) -> dict[str, Any]:
    """What transformers' BertTokenizer builds, without its added tokens.

    Args:
        files: TokenizerFiles.

    Raises:
        BackboneError: a special token is missing; tokenizer.json has other
            parts than BERT's, or another setting than the one that holds.
    """
    normalizer = {"type": "BertNormalizer", "clean_text": True}
    for theirs, ours, default in _SETTINGS:
        value = files.config.get(theirs, default)
        if value not in (True, False) and (
            value is not None or theirs != "strip_accents"
        ):
            raise BackboneError(
                f"{files.config_path} says {theirs} {value!r}, expected true "
                "or false"
            )
        normalizer[ours] = value
    names = {name: files.role(name) or name_ for name, name_ in _NAMES.items()}
    vocabulary = _vocabulary(files)
    ids = {**files.added_ids(), **vocabulary}
    for name in names.values():
        if name not in ids:
            raise BackboneError(
                f"{files.path}: vocabulary of {len(vocabulary)} pieces lacks "
                f"the special token {name}"
            )
    cls, sep = names["cls_token"], names["sep_token"]
    content = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": _post_processor(cls, sep, ids[cls], ids[sep]),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            **_MODEL,
            "unk_token": names["unk_token"],
            "vocab": vocabulary,
        },
    }
    if files.content is not None:
        _check_same(files, content)
    return content


def _vocabulary(files):
    if files.content is None:
        vocabulary: dict[str, int] = {}
        for index, piece in enumerate(files.vocabulary):
            if vocabulary.setdefault(piece, index) != index:
                raise BackboneError(
                    f"{files.path}: vocabulary holds {piece!r} twice, as piece "
                    f"{vocabulary[piece]} and as piece {index}"
                )
        return vocabulary
    model = files.content.get("model")
    model = model if isinstance(model, dict) else {}
    if model.get("type", "WordPiece") != "WordPiece":
        raise BackboneError(
            f"{files.path} holds a {model.get('type')!r} tokenizer, expected "
            "WordPiece"
        )
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not all(
        type(number) is int for number in vocabulary.values()
    ):
        raise BackboneError(
            f"{files.path}: model.vocab: expected ids of pieces"
        )
    return vocabulary


def _post_processor(cls, sep, cls_id, sep_id):
    def special(name, segment):
        return {"SpecialToken": {"id": name, "type_id": segment}}

    def text(name, segment):
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [special(cls, 0), text("A", 0), special(sep, 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, text("B", 1), special(sep, 1)],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]}
            for name, number in ((cls, cls_id), (sep, sep_id))
        },
    }


def _check_same(files, content):
    """Refuses a tokenizer.json that says another pipeline than BERT's."""
    advice = (
        "; transformers 5 leaves it out with tokenizer_class BertTokenizer: "
        "write PreTrainedTokenizerFast into tokenizer_config.json to apply it"
    )
    theirs = files.content.get("normalizer")
    theirs = theirs if isinstance(theirs, dict) else {"type": None}
    for part in ("normalizer", "pre_tokenizer"):
        found = files.content.get(part)
        kind = found.get("type") if isinstance(found, dict) else None
        if kind != content[part]["type"]:
            raise BackboneError(
                f"{files.path} has a {part} of type {kind!r}, expected "
                f"{content[part]['type']}{advice}"
            )
    if theirs.get("clean_text", True) is not True:
        raise BackboneError(f"{files.path} says clean_text false{advice}")
    ours = content["normalizer"]
    for name, key, _ in _SETTINGS:
        if name in files.config:
            continue
        if _effective(theirs, key) != _effective(ours, key):
            raise BackboneError(
                f"{files.path} says {key} {_effective(theirs, key)}, "
                f"transformers takes {_effective(ours, key)} where "
                f"{files.config_path.name} has no {name}: write it there"
            )
    model = files.content["model"]
    for key, value in content["model"].items():
        if key != "vocab" and model.get(key, value) != value:
            raise BackboneError(
                f"{files.path} says {key} {model[key]!r}, expected {value!r}"
                f"{advice}"
            )
    cls, sep = content["post_processor"]["special_tokens"]
    try:
        found = special_tokens_of(backend(files.content))
        expected = special_tokens_of(backend(content))
    except BackboneError as error:
        raise BackboneError(f"{files.path}: {one_line(error)}") from None
    if found != expected:
        raise BackboneError(
            f"{files.path} has a post_processor that does not make {cls} a "
            f"{sep} b {sep}{advice}"
        )


def _effective(normalizer: Mapping[str, Any], key: str) -> bool:
    default = None if key == "strip_accents" else True
    value = normalizer.get(key, default)
    if value is None:
        value = normalizer.get("lowercase", True)
    return bool(value)


def word_piece_of(content: Mapping[str, Any]) -> WordPiece | None:
    """The `WordPiece` that computes the same, or None if there is none.

    Args:
        content: mapping. What a tokenizer.json holds.
    """
    normalizer, model = content.get("normalizer"), content["model"]
    if not isinstance(normalizer, dict):
        return None
    vocabulary = model.get("vocab")
    if (
        normalizer.get("type") != "BertNormalizer"
        or normalizer.get("clean_text", True) is not True
        or content.get("pre_tokenizer") != {"type": "BertPreTokenizer"}
        or any(model.get(key) != value for key, value in _MODEL.items())
        or not isinstance(vocabulary, dict)
        or sorted(vocabulary.values()) != list(range(len(vocabulary)))
        or "" in vocabulary
        or any(name not in vocabulary for name in _NAMES.values())
    ):
        return None
    expected = [*_NAMES.values()]
    if _MASK in vocabulary:
        expected.append(_MASK)
    added = content.get("added_tokens") or []
    if sorted(token["content"] for token in added) != sorted(expected):
        return None
    for token in added:
        if any(token.get(key) != value for key, value in _PLAIN.items()):
            return None
    piece = WordPiece(
        sorted(vocabulary, key=vocabulary.__getitem__),
        lowercase=normalizer.get("lowercase", True),
        strip_accents=normalizer.get("strip_accents"),
        tokenize_chinese_chars=normalizer.get("handle_chinese_chars", True),
    )
    found = special_tokens_of(backend(content))
    return piece if found == piece.special_tokens else None
