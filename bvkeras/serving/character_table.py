"""What BERT's tokenizer makes of each Unicode character, as arrays."""

import functools
from typing import NamedTuple

import numpy as np
import tokenizers

_NUM_CODES = 0x110000
_SURROGATES = range(0xD800, 0xE000)
_PAGE = 256
# Normalising leaves it alone, and makes it of no other character.
_SEPARATOR = "|"

ISOLATED = 1
SPACE = 2
LENGTH_SHIFT = 2
LENGTH_MASK = 7
START_SHIFT = 5
# One character of a word, which stays as it is.
ORDINARY = 1 << LENGTH_SHIFT


class CharacterTable(NamedTuple):
    """Cleaning, case, accents and word boundaries, character by character.

    The value of a code point `c` is `pages[256 * page_of[c // 256] + c % 256]`.
    Its lowest bit says that `c` is a word of its own (punctuation, Chinese),
    the next that it ends a word and is in none (blanks); the next three are
    the number of characters that `c` becomes, and the rest is where those
    stand in `replacements`, or 0 if `c` stays as it is.

    Attributes:
        page_of: int32 array `(4352,)`.
        pages: int32 array `(256 · pages,)`. Pages that are equal are one.
        replacements: int32 array. Code points; the first is not used.
        longest: int. Most characters that one becomes.
    """

    page_of: np.ndarray
    pages: np.ndarray
    replacements: np.ndarray
    longest: int


@functools.cache
def character_table(
    lowercase: bool, strip_accents: bool, tokenize_chinese_chars: bool
) -> CharacterTable:
    """The table of a tokenizer with these settings.

    It is read off Hugging Face's `tokenizers` itself, so that it has the same
    version of Unicode. It says all that there is to say, but for one thing:
    where accents are stripped, `tokenizers` puts runs of combining marks into
    canonical order. Most such marks are dropped; some spacing ones are kept,
    such as U+302E and U+1D165, and keep their order here.

    Args:
        lowercase: bool. As the other arguments, that of
            `bvkeras.encoders.word_piece.WordPiece`.
    """
    normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=tokenize_chinese_chars,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    splitter = tokenizers.pre_tokenizers.BertPreTokenizer()
    replacements = [0]
    values = np.zeros((_NUM_CODES // _PAGE, _PAGE), np.int32)
    for page, row in enumerate(values):
        if page * _PAGE not in _SURROGATES:
            letters = [chr(page * _PAGE + i) for i in range(_PAGE)]
            row[:] = _page(letters, normalizer, splitter, replacements)
    pages, index = np.unique(values, axis=0, return_inverse=True)
    lengths = (pages >> LENGTH_SHIFT) & LENGTH_MASK
    return CharacterTable(
        index.reshape(-1).astype(np.int32),
        pages.reshape(-1),
        np.array(replacements, np.int32),
        int(lengths.max()),
    )


def _page(letters, normalizer, splitter, replacements):
    """The values of a page's letters; adds to `replacements`."""
    text = "".join(letters)
    normal = normalizer.normalize_str(text)
    # Most pages are of one kind, and cheap.
    if not normal:
        return 0
    if normal == text and len(splitter.pre_tokenize_str(text)) == 1:
        return ORDINARY
    if normal == "".join(f" {letter} " for letter in letters):
        return ORDINARY | ISOLATED
    values = []
    for letter, normal in zip(
        letters, _normalized(normalizer, letters), strict=True
    ):
        inner = normal.strip()
        if not inner:
            values.append(SPACE if normal else 0)
            continue
        isolated = inner != normal or _splits(splitter, inner)
        assert len(inner) <= LENGTH_MASK, hex(ord(letter))
        start = 0
        if inner != letter:
            start = len(replacements)
            replacements += map(ord, inner)
        length = len(inner) << LENGTH_SHIFT
        values.append(isolated | length | start << START_SHIFT)
    return values


def _normalized(normalizer, letters):
    """What becomes of each letter."""
    others = ("" if x == _SEPARATOR else x for x in letters)
    texts = normalizer.normalize_str(_SEPARATOR.join(others)).split(_SEPARATOR)
    return [
        _SEPARATOR if letter == _SEPARATOR else text
        for letter, text in zip(letters, texts, strict=True)
    ]


def _splits(splitter, text):
    """Whether a text, of one letter, is a word of its own in others.

    A flag has no room for a text of which only a part is.
    """
    pieces = splitter.pre_tokenize_str(f"a{text}a")
    assert len(pieces) == 1 or (len(text) == 1 and len(pieces) == 3), text
    return len(pieces) == 3
