"""BERT's tokenizer, token for token what Hugging Face computes."""

import functools
from collections.abc import Sequence

import numpy as np
import tokenizers

from bvkeras import fileio
from bvkeras.errors import ArgumentError, BackboneError

_REQUIRED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Encodings are far bigger than the ids kept of them: drop them often.
_TEXTS_PER_CALL = 8192


class WordPiece:
    """BERT's WordPiece tokenizer.

    The ids equal those of `transformers.BertTokenizer` for any text: clean-up
    of control characters, accents, Chinese characters, special tokens written
    in the text. The work is done by Hugging Face's `tokenizers` library, on
    all cores; keras-hub's own tokenizer gives other ids for such texts.

    Args:
        vocabulary: sequence of str. The word pieces; the id of a piece is its
            place.
        lowercase: bool. Whether text is lower-cased. Defaults to True.
        strip_accents: bool. Whether accents are removed. Defaults to the
            value of `lowercase`.
        tokenize_chinese_chars: bool. Whether every Chinese character is a
            word of its own. Defaults to True.

    Attributes:
        cls_id, sep_id, pad_id, unk_id: int. Ids of the special tokens.
        vocabulary_size: int.
        digest: str. SHA-256 of vocabulary and settings.

    Raises:
        BackboneError: a special token is missing in `vocabulary`, or a piece
            is there twice.

    Reference:
        Devlin et al., 2019; code of google-research/bert, tokenization.py.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        lowercase: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ):
        self.vocabulary = list(vocabulary)
        self.lowercase = bool(lowercase)
        self.strip_accents = bool(
            lowercase if strip_accents is None else strip_accents
        )
        self.tokenize_chinese_chars = bool(tokenize_chinese_chars)
        ids: dict[str, int] = {}
        for index, piece in enumerate(self.vocabulary):
            if ids.setdefault(piece, index) != index:
                raise BackboneError(
                    f"vocabulary holds {piece!r} twice, as piece {ids[piece]} "
                    f"and as piece {index}"
                )
        for piece in _REQUIRED:
            if piece not in ids:
                raise BackboneError(
                    f"vocabulary of {len(self.vocabulary)} pieces lacks the "
                    f"special token {piece}"
                )
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (
            ids[piece] for piece in _REQUIRED
        )
        self._tokenizer = tokenizers.BertWordPieceTokenizer(
            ids,
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
            handle_chinese_chars=self.tokenize_chinese_chars,
        )

    @property
    def vocabulary_size(self) -> int:
        """Number of word pieces."""
        return len(self.vocabulary)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of vocabulary and settings, in hexadecimal."""
        return fileio.value_digest(
            {"vocabulary": self.vocabulary} | self.settings
        )

    @property
    def settings(self) -> dict[str, bool]:
        """The arguments of `__init__` besides the vocabulary."""
        return {
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.tokenize_chinese_chars,
        }

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Word-piece ids of every text, without special tokens around them.

        Args:
            texts: sequence of str.

        Returns:
            One int32 array of shape `(pieces,)` for each text.

        Raises:
            ArgumentError: `texts` is one str, or holds something that is no
                str or no valid Unicode.
        """
        texts = _checked_texts(texts)
        ids: list[np.ndarray] = []
        for start in range(0, len(texts), _TEXTS_PER_CALL):
            encodings = self._tokenizer._tokenizer.encode_batch_fast(
                texts[start : start + _TEXTS_PER_CALL],
                add_special_tokens=False,
            )
            ids.extend(np.array(e.ids, dtype=np.int32) for e in encodings)
        return ids

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """What `encode` gives, and where each word piece stands in its text.

        Args:
            texts: sequence of str.

        Returns:
            For each text a pair of int32 arrays: ids `(pieces,)`, and offsets
            `(pieces, 2)`, the first character of the piece and the one behind
            its last, in the text as given, in Unicode code points. Characters
            that the tokenizer drops are in no piece; a character that it
            takes apart is in several.

        Raises:
            ArgumentError: as `encode`.
        """
        texts = _checked_texts(texts)
        pieces: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(texts), _TEXTS_PER_CALL):
            encodings = self._tokenizer._tokenizer.encode_batch(
                texts[start : start + _TEXTS_PER_CALL],
                add_special_tokens=False,
            )
            pieces.extend(
                (
                    np.array(e.ids, dtype=np.int32),
                    np.array(e.offsets, dtype=np.int32).reshape(-1, 2),
                )
                for e in encodings
            )
        return pieces

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
        rows_a, rows_b = self._encode_rows(
            self.encode, texts_a, texts_b, max_tokens
        )
        return [
            self.row(*row) for row in _truncated(rows_a, rows_b, max_tokens)
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
            the token and the one behind its last, in its own text as given,
            in Unicode code points; -1 for special tokens.

        Raises:
            ArgumentError: as `pack`.
        """
        rows_a, rows_b = self._encode_rows(
            self._offsets, texts_a, texts_b, max_tokens
        )
        special = np.full((1, 2), -1, np.int32)
        rows = []
        for parts in _truncated(rows_a, rows_b, max_tokens):
            row = [special]
            for part in parts:
                row += [part, special]
            rows.append(np.concatenate(row))
        return rows

    def _encode_rows(self, encode, texts_a, texts_b, max_tokens):
        num_special = 2 if texts_b is None else 3
        if max_tokens <= num_special:
            raise ArgumentError(
                f"max_tokens must be more than {num_special}, the number of "
                f"special tokens in a row, got {max_tokens}"
            )
        if texts_b is not None and len(texts_b) != len(texts_a):
            raise ArgumentError(
                f"texts_b must hold as many texts as texts_a "
                f"({len(texts_a)}), got {len(texts_b)}"
            )
        return encode(texts_a), None if texts_b is None else encode(texts_b)

    def _offsets(self, texts):
        return [offsets for _, offsets in self.encode_with_offsets(texts)]

    def row(
        self, a: np.ndarray, b: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Word pieces with the special tokens around them.

        Args:
            a: int array `(pieces,)`. Those of the first text.
            b: int array `(pieces,)`. Those of the second. Defaults to none.

        Returns:
            Token ids and segment ids, as `pack` gives for a row.
        """
        num_first = len(a) + 2
        num_tokens = num_first + (0 if b is None else len(b) + 1)
        token_ids = np.full(num_tokens, self.sep_id, dtype=np.int32)
        token_ids[0] = self.cls_id
        token_ids[1 : num_first - 1] = a
        if b is not None:
            token_ids[num_first:-1] = b
        segment_ids = np.zeros(num_tokens, dtype=np.int32)
        segment_ids[num_first:] = 1
        return token_ids, segment_ids


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


def _truncated(rows_a, rows_b, max_tokens):
    """The parts of each row, cut so that special tokens find room."""
    if rows_b is None:
        return [(a[: max_tokens - 2],) for a in rows_a]
    parts = []
    for a, b in zip(rows_a, rows_b, strict=True):
        keep_a, keep_b = _truncated_lengths(len(a), len(b), max_tokens - 3)
        parts.append((a[:keep_a], b[:keep_b]))
    return parts


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


def pad_rows(
    rows: Sequence[tuple[np.ndarray, np.ndarray]], pad_id: int
) -> dict[str, np.ndarray]:
    """Packed rows as one batch, padded to the longest.

    Args:
        rows: sequence of pairs of int32 arrays `(tokens,)`, token ids and
            segment ids, as `WordPiece.pack` gives them; at least one.
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
