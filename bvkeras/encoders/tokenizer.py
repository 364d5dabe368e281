"""Any tokenizer of Hugging Face's `tokenizers`, as bvkeras uses one."""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from bvkeras import fileio
from bvkeras.encoders.special_tokens import SpecialTokens
from bvkeras.errors import ArgumentError, BackboneError
from bvkeras.printable import one_line

# Encodings are far bigger than the ids kept of them: drop them often.
_TEXTS_PER_CALL = 8192
# How a batch is cut and padded is said anew with every batch.
_NOT_IDENTITY = ("version", "truncation", "padding")
# A text of one word, to see what stands around it.
_PROBE = "a"


class EncodedText(NamedTuple):
    """The pieces of a text, without special tokens around them.

    Attributes:
        ids: int32 array `(pieces,)`.
        offsets: int32 array `(pieces, 2)`. The first character of the piece
            and the one after its last, in the text as given, in Unicode code
            points, without blanks at its ends.
        continued: bool array `(pieces,)`. Whether the piece goes on with the
            word of the piece before it.
    """

    ids: np.ndarray
    offsets: np.ndarray
    continued: np.ndarray


class Tokenizer:
    """A tokenizer as its tokenizer.json describes it.

    The ids equal those that `transformers` computes with the same file: its
    normaliser, its way of finding words, its model (WordPiece, BPE, Unigram),
    added tokens and special tokens written in the text. The work is done by
    Hugging Face's `tokenizers` library, on all cores.

    The rows it makes are `<cls> a <sep>` and `<cls> a <between> b <sep>`, with
    the special tokens that the file's post-processor puts there. Segment ids
    say which of two texts a token is of, whether the encoder is told or not:
    one without segments (RoBERTa) does not read them.

    Args:
        content: mapping. What a tokenizer.json holds. How it cuts and pads
            is not used.
        pad_token: str. The token that fills shorter rows.

    Attributes:
        special_tokens: SpecialTokens. Those around texts.
        cls_id, sep_id, pad_id: int. Ids of special tokens.
        unk_id: int, or None. What stands for what is unknown.
        vocabulary_size: int. One more than the highest id.
        digest: str. SHA-256 of all that decides the ids.

    Raises:
        BackboneError: `content` is no tokenizer, has no `pad_token`, or puts
            other special tokens around texts than one in front, one after
            and some between.

    Reference:
        https://huggingface.co/docs/tokenizers
    """

    def __init__(self, content: Mapping[str, Any], pad_token: str = "[PAD]"):
        self.content = {
            key: value
            for key, value in content.items()
            if key not in _NOT_IDENTITY
        }
        self.pad_token = pad_token
        tokenizer = backend(self.content)
        pad_id = tokenizer.token_to_id(pad_token)
        if pad_id is None:
            raise BackboneError(
                f"the padding token {pad_token!r} is none of the tokens"
            )
        ids = tokenizer.get_vocab()
        model = self.content["model"]
        unk_id = model.get("unk_id", ids.get(model.get("unk_token")))
        self._use(tokenizer, special_tokens_of(tokenizer), pad_id, unk_id)
        self.vocabulary_size = 1 + max(ids.values())

    def _use(
        self,
        tokenizer: tokenizers.Tokenizer,
        special_tokens: SpecialTokens,
        pad_id: int,
        unk_id: int | None,
    ) -> None:
        self._tokenizer = tokenizer
        self.special_tokens = special_tokens
        self.pad_id = pad_id
        self.unk_id = unk_id

    @property
    def cls_id(self) -> int:
        """Id of the token in front of a row."""
        return self.special_tokens.cls_id

    @property
    def sep_id(self) -> int:
        """Id of the token after a row."""
        return self.special_tokens.sep_id

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides the ids, in hexadecimal."""
        return fileio.value_digest({"tokenizer": self.content} | self.settings)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `__init__` besides the content."""
        return {"pad_token": self.pad_token}

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of every text's pieces, without special tokens around them.

        Args:
            texts: sequence of str.

        Returns:
            One int32 array of shape `(pieces,)` for each text.

        Raises:
            ArgumentError: `texts` is one str, or holds something that is no
                str or no valid Unicode.
        """
        encode = self._tokenizer.encode_batch_fast
        return [
            np.array(encoding.ids, dtype=np.int32)
            for encoding in _encodings(encode, texts)
        ]

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """What `encode` gives, and where each piece stands in its text.

        Args:
            texts: sequence of str.

        Returns:
            For each text a pair of int32 arrays: ids `(pieces,)`, and offsets
            `(pieces, 2)`, the first character of the piece and the one after
            its last, in the text as given, in Unicode code points. Characters
            that the tokenizer drops are in no piece; a character that it
            takes apart is in several.

        Raises:
            ArgumentError: as `encode`.
        """
        encode = self._tokenizer.encode_batch
        return [
            _ids_and_offsets(encoding) for encoding in _encodings(encode, texts)
        ]

    def encode_words(self, texts: Sequence[str]) -> list[EncodedText]:
        """Pieces of every text with their places, and where words go on.

        Words are what the tokenizer takes for words, before it makes pieces
        of them. Many tokenizers count the blank in front of a word to its
        first piece; here it is not.

        Args:
            texts: sequence of str.

        Raises:
            ArgumentError: as `encode`.
        """
        texts = _checked_texts(texts)
        encodings = _encodings(self._tokenizer.encode_batch, texts)
        found = []
        for text, encoding in zip(texts, encodings, strict=True):
            ids, offsets = _ids_and_offsets(encoding)
            for piece, (first, behind) in enumerate(offsets):
                part = text[first:behind]
                if part != part.strip():
                    first = behind - len(part.lstrip())
                    offsets[piece] = first, first + len(part.strip())
            found.append(EncodedText(ids, offsets, self._continued(encoding)))
        return found

    def _continued(self, encoding: tokenizers.Encoding) -> np.ndarray:
        words = [-1 if word is None else word for word in encoding.word_ids]
        continued = np.zeros(len(words), bool)
        continued[1:] = np.diff(words) == 0
        return continued

    def pack(
        self,
        texts_a: Sequence[str],
        texts_b: Sequence[str] | None = None,
        max_tokens: int = 128,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows for the encoder: `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]`.

        A row that is too long loses pieces from the end of the longer text
        until both are equally long, then from both: Hugging Face's
        `truncation=True`.

        Args:
            texts_a: sequence of str. First texts.
            texts_b: sequence of str. Second texts, as many. Defaults to none.
            max_tokens: int. Most tokens in a row, the special ones counted.
                Defaults to 128.

        Returns:
            For each row a pair of int32 arrays of shape `(tokens,)`: token
            ids, and segment ids (1 for `b [SEP]`, 0 before).

        Raises:
            ArgumentError: `max_tokens` leaves no room for text; the numbers
                of texts differ; a text is no str.
        """
        return [
            self.row(*parts)
            for parts in self._cut(self.encode, texts_a, texts_b, max_tokens)
        ]

    def pack_offsets(
        self,
        texts_a: Sequence[str],
        texts_b: Sequence[str] | None = None,
        max_tokens: int = 128,
    ) -> list[np.ndarray]:
        """Where the tokens of `pack`'s rows stand in the texts.

        Args:
            texts_a: sequence of str. First texts.
            texts_b: sequence of str. Second texts, as many. Defaults to none.
            max_tokens: int. Most tokens in a row. Defaults to 128.

        Returns:
            For each row an int32 array `(tokens, 2)`: the first character of
            the token and the one after its last, in its own text as given,
            in Unicode code points; -1 for special tokens.

        Raises:
            ArgumentError: as `pack`.
        """
        return [
            self.row_offsets(*parts)
            for parts in self._cut(self._offsets, texts_a, texts_b, max_tokens)
        ]

    def row(
        self, a: np.ndarray, b: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pieces with the special tokens around them.

        Args:
            a: int array `(pieces,)`. Those of the first text.
            b: int array `(pieces,)`. Those of the second. Defaults to none.

        Returns:
            Token ids and segment ids, as `pack` gives for a row.
        """
        special = self.special_tokens
        num_first = 1 + len(a) + (1 if b is None else len(special.between))
        num_tokens = num_first + (0 if b is None else len(b) + 1)
        token_ids = np.full(num_tokens, special.sep_id, dtype=np.int32)
        token_ids[0] = special.cls_id
        token_ids[1 : 1 + len(a)] = a
        if b is not None:
            token_ids[1 + len(a) : num_first] = special.between
            token_ids[num_first:-1] = b
        segment_ids = np.zeros(num_tokens, dtype=np.int32)
        segment_ids[num_first:] = 1
        return token_ids, segment_ids

    def row_offsets(
        self, a: np.ndarray, b: np.ndarray | None = None
    ) -> np.ndarray:
        """Where the tokens of `row` stand in their texts.

        Args:
            a: int array `(pieces, 2)`. Offsets in the first text.
            b: int array `(pieces, 2)`. In the second. Defaults to none.

        Returns:
            int32 array `(tokens, 2)`, -1 for special tokens.
        """
        special = np.full((1, 2), -1, np.int32)
        parts = [special, a]
        if b is not None:
            parts += [special] * len(self.special_tokens.between)
            parts.append(b)
        return np.concatenate([*parts, special])

    def _cut(self, encode, texts_a, texts_b, max_tokens):
        """The parts of each row, cut so that special tokens find room."""
        num_special = self.special_tokens.count(1 if texts_b is None else 2)
        if max_tokens <= num_special:
            raise ArgumentError(
                f"max_tokens must be more than {num_special}, the number of "
                f"special tokens in a row, got {max_tokens}"
            )
        room = max_tokens - num_special
        if texts_b is None:
            return [(a[:room],) for a in encode(texts_a)]
        if len(texts_b) != len(texts_a):
            raise ArgumentError(
                f"texts_b must hold as many texts as texts_a "
                f"({len(texts_a)}), got {len(texts_b)}"
            )
        parts = []
        for a, b in zip(encode(texts_a), encode(texts_b), strict=True):
            keep_a, keep_b = _truncated_lengths(len(a), len(b), room)
            parts.append((a[:keep_a], b[:keep_b]))
        return parts

    def _offsets(self, texts):
        return [offsets for _, offsets in self.encode_with_offsets(texts)]


def pad_rows(
    rows: Sequence[tuple[np.ndarray, np.ndarray]], pad_id: int
) -> dict[str, np.ndarray]:
    """Packed rows as one batch, padded to the longest.

    Args:
        rows: sequence of pairs of int32 arrays `(tokens,)`, token ids and
            segment ids, as `Tokenizer.pack` gives them; at least one.
        pad_id: int. The id that fills shorter rows.

    Returns:
        dict of int32 arrays `(batch, tokens)`: "token_ids", "segment_ids",
        "padding_mask" (1 where there is a token).
    """
    shape = (len(rows), max(len(ids) for ids, _ in rows))
    token_ids = np.full(shape, pad_id, dtype=np.int32)
    segment_ids = np.zeros(shape, dtype=np.int32)
    padding_mask = np.zeros(shape, dtype=np.int32)
    for row, (ids, segments) in enumerate(rows):
        token_ids[row, : len(ids)] = ids
        segment_ids[row, : len(ids)] = segments
        padding_mask[row, : len(ids)] = 1
    return {
        "token_ids": token_ids,
        "segment_ids": segment_ids,
        "padding_mask": padding_mask,
    }


def backend(content: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """The tokenizer that a tokenizer.json describes, which cuts nothing.

    Raises:
        BackboneError: there is no such tokenizer.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    except Exception as error:
        raise BackboneError(
            f"is no tokenizer that `tokenizers` {tokenizers.__version__} "
            f"knows: {one_line(error)}"
        ) from None


def special_tokens_of(tokenizer: tokenizers.Tokenizer) -> SpecialTokens:
    """What the post-processor puts around a text, and around two.

    Raises:
        BackboneError: it is something else than one token in front, one
            after and some between.
    """
    one = tokenizer.encode(_PROBE)
    two = tokenizer.encode(_PROBE, _PROBE)
    texts = two.sequence_ids
    if one.sequence_ids.count(0) == 0 or texts.count(1) == 0:
        raise BackboneError(f"makes nothing of the text {_PROBE!r}")
    end_a = len(texts) - texts[::-1].index(0)
    begin_b = texts.index(1)
    found = SpecialTokens(
        two.ids[0],
        tuple(two.ids[end_a:begin_b]),
        two.ids[-1],
        segments=any(two.type_ids),
    )
    pieces = [i for i, text in zip(two.ids, texts, strict=True) if text == 0]
    segments = [int(found.segments and i >= begin_b) for i in range(len(texts))]
    expected = [found.cls_id, *pieces, *found.between, *pieces, found.sep_id]
    if not (
        found.between
        and texts[0] is texts[-1] is None
        and two.ids == expected
        and two.type_ids == segments
        and one.ids == [found.cls_id, *pieces, found.sep_id]
        and not any(one.type_ids)
    ):
        raise BackboneError(
            "puts other special tokens around two texts than one in front, "
            f"some between and one after: {' '.join(two.tokens)}"
        )
    return found


def _encodings(
    encode: Any, texts: Sequence[str]
) -> Iterator[tokenizers.Encoding]:
    texts = _checked_texts(texts)
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        yield from encode(
            texts[start : start + _TEXTS_PER_CALL], add_special_tokens=False
        )


def _ids_and_offsets(encoding):
    return (
        np.array(encoding.ids, dtype=np.int32),
        np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2),
    )


def _checked_texts(texts):
    if isinstance(texts, (str, bytes)):
        raise ArgumentError(
            f"texts must be a sequence of str, got one {type(texts).__name__}"
        )
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ArgumentError(
                f"texts must hold str only, got {type(text).__name__} in row "
                f"{row}"
            )
        if not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ArgumentError(
                    f"texts must hold valid Unicode, row {row} has a lone "
                    f"surrogate at character {error.start}"
                ) from None
    return texts


def _truncated_lengths(num_a, num_b, room):
    """How much of each text stays when both together may have `room` pieces.

    The shorter keeps what it has if that is at most half; of an odd `room`
    the longer text gets the odd piece (the second if they are equal).
    """
    if num_a + num_b <= room:
        return num_a, num_b
    shorter = min(num_a, num_b, room // 2)
    if num_a <= num_b:
        return shorter, room - shorter
    return room - shorter, shorter
