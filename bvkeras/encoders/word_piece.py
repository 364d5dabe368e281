"""BERT's tokenizer, token for token what Hugging Face computes."""

import functools
from collections.abc import Sequence

import numpy as np
import tokenizers

from bvkeras import fileio
from bvkeras.encoders.special_tokens import SpecialTokens
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.errors import BackboneError

_REQUIRED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_CONTINUED = "##"


class WordPiece(Tokenizer):
    """BERT's WordPiece tokenizer.

    The ids equal those of `transformers.BertTokenizer` for any text: clean-up
    of control characters, accents, Chinese characters, special tokens written
    in the text. keras-hub's own tokenizer gives other ids for such texts.

    A `Tokenizer` that a vocabulary and three settings describe in full; the
    graph of an export computes it as well.

    Args:
        vocabulary: sequence of str. The word pieces; the id of a piece is its
            place.
        lowercase: bool. Whether text is lower-cased. Defaults to True.
        strip_accents: bool. Whether accents are removed. Defaults to the
            value of `lowercase`.
        tokenize_chinese_chars: bool. Whether every Chinese character is a
            word of its own. Defaults to True.

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
        self.vocabulary_size = len(ids)
        pad_id, unk_id, cls_id, sep_id = (ids[piece] for piece in _REQUIRED)
        tokenizer = tokenizers.BertWordPieceTokenizer(
            ids,
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
            handle_chinese_chars=self.tokenize_chinese_chars,
        )
        self._use(
            tokenizer._tokenizer,
            SpecialTokens(cls_id, (sep_id,), sep_id),
            pad_id,
            unk_id,
        )

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

    @functools.cached_property
    def continued_pieces(self) -> np.ndarray:
        """Which word pieces go on with a word, bool `(vocabulary,)`."""
        return np.array([p.startswith(_CONTINUED) for p in self.vocabulary])

    def _continued(self, encoding: tokenizers.Encoding) -> np.ndarray:
        # As the graph of an export has it.
        return self.continued_pieces[np.array(encoding.ids, np.int64)]
