"""Tokenizers' older files, as the tokenizer.json that transformers makes.

transformers 5.24 is what is followed.
"""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bvkeras.encoders.checkpoint_files import read_bytes, read_object
from bvkeras.errors import BackboneError, MissingPackageError
from bvkeras.printable import one_line
from bvkeras.schema import COUNT, table_of

_SPACE = "▁"
# Of pieces inside a word; byte-level BPE has none.
_NO_MARKS = {"continuing_subword_prefix": "", "end_of_word_suffix": ""}


def byte_pair_content(
    vocabulary_path: pathlib.Path,
    merges_path: pathlib.Path,
    special: Sequence[str],
    processor: Callable[[tokenizers.Tokenizer], Any],
    add_prefix_space: bool,
) -> dict[str, Any]:
    """Byte-level BPE of vocab.json and merges.txt.

    Args:
        vocabulary_path: path. vocab.json: each piece and its id.
        merges_path: path. merges.txt: the pairs that are merged, by rank.
        special: sequence of str. Special tokens, in the vocabulary.
        processor: callable. Makes what puts them around texts.
        add_prefix_space: bool. Whether the first word is like any other.

    Raises:
        BackboneError: a file is missing, damaged, or does not fit the other.
    """
    vocabulary = read_object(vocabulary_path, table_of(COUNT))
    lines = _lines(merges_path)
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    merges = [tuple(line.split(" ")) for line in lines]
    for number, merge in enumerate(merges, 1):
        if len(merge) != 2:
            raise BackboneError(
                f"{merges_path}: merge {number} has {len(merge)} parts, "
                "expected 2"
            )
    try:
        tokenizer = tokenizers.Tokenizer(
            models.BPE(vocabulary, merges, **_NO_MARKS)
        )
    except Exception as error:
        raise BackboneError(
            f"{vocabulary_path} and {merges_path.name} do not fit: "
            f"{one_line(error)}"
        ) from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=add_prefix_space
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _content(tokenizer, special, processor, vocabulary_path)


def unigram_content(
    path: pathlib.Path,
    special: Sequence[str],
    processor: Callable[[tokenizers.Tokenizer], Any],
    *,
    pieces: Callable[[list[tuple[str, float]]], list[tuple[str, float]]],
    unknown: str,
    before: Sequence[Any] = (),
    after: Sequence[Any] = (),
    keeps_table: bool = True,
    splitters: Sequence[Any] = (),
) -> dict[str, Any]:
    """Unigram of a SentencePiece model.

    Args:
        path: path. The model.
        special: sequence of str. Special tokens; those that are no pieces
            come after the last.
        processor: callable. Makes what puts them around texts.
        pieces: callable. Makes of the model's pieces and scores those that
            the encoder has embeddings for.
        unknown: str. The piece that stands for what is unknown.
        before, after: sequences of normalizers. Around the model's own table
            of characters. Default to none.
        keeps_table: bool. Whether that table is used. Defaults to `True`.
        splitters: sequence of pre-tokenizers. Before words are marked.
            Defaults to none.

    Raises:
        BackboneError: it is missing, damaged, or no Unigram model.
        MissingPackageError: sentencepiece is not installed.
    """
    model = _sentence_piece_model(path)
    found = pieces([(piece.piece, piece.score) for piece in model.pieces])
    names = [name for name, _ in found]
    if unknown not in names:
        raise BackboneError(f"{path} lacks the piece {unknown}")
    try:
        tokenizer = tokenizers.Tokenizer(
            models.Unigram(found, names.index(unknown), False)
        )
    except Exception as error:
        raise BackboneError(
            f"{path} cannot be used: {one_line(error)}"
        ) from None
    steps = [*before]
    table = model.normalizer_spec.precompiled_charsmap
    if table and keeps_table:
        steps.append(normalizers.Precompiled(table))
    steps += after
    if steps:
        tokenizer.normalizer = (
            steps[0] if len(steps) == 1 else normalizers.Sequence(steps)
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *splitters,
            pre_tokenizers.Metaspace(
                replacement=_SPACE, prepend_scheme="always"
            ),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(
        replacement=_SPACE, prepend_scheme="always"
    )
    return _content(tokenizer, special, processor, path)


def two_texts(
    first: str, between: Sequence[str], last: str, segments: bool
) -> Callable[[tokenizers.Tokenizer], Any]:
    """What puts special tokens around texts: `first a between b last`."""

    def processor(tokenizer: tokenizers.Tokenizer) -> Any:
        second = 1 if segments else 0
        return processors.TemplateProcessing(
            single=f"{first}:0 $A:0 {last}:0",
            pair=" ".join(
                [
                    f"{first}:0 $A:0",
                    *(f"{token}:0" for token in between),
                    f"$B:{second} {last}:{second}",
                ]
            ),
            special_tokens=[
                (token, tokenizer.token_to_id(token)) for token in (first, last)
            ],
        )

    return processor


def _content(tokenizer, special, processor, path):
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(token, normalized=False) for token in special]
    )
    tokenizer.post_processor = processor(tokenizer)
    content = json.loads(tokenizer.to_str())
    ids = tokenizer.get_vocab()
    if len(ids) != 1 + max(ids.values()):
        raise BackboneError(f"{path} must number its pieces without gaps")
    return content


def _lines(path):
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BackboneError(f"{path} cannot be read: {error}") from None
    lines = text.replace("\r\n", "\n").split("\n")
    return [line for line in lines if line]


def _sentence_piece_model(path):
    try:
        from sentencepiece import sentencepiece_model_pb2
    except ImportError:
        raise MissingPackageError(
            f"{path} needs the package sentencepiece (pip install "
            "sentencepiece), or a tokenizer.json beside it, which transformers "
            "writes: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        ) from None
    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString(read_bytes(path))
    except Exception as error:
        raise BackboneError(f"{path} is damaged: {one_line(error)}") from None
    if model.trainer_spec.model_type != model.trainer_spec.UNIGRAM:
        raise BackboneError(f"{path} is no Unigram model of SentencePiece")
    return model
