"""The general tokenizer: what transformers gives, rows, and what is refused."""

import numpy as np
import pytest

from bvkeras.data.tables.token_lengths import token_lengths
from bvkeras.data.tagged_sentence import TaggedSentence
from bvkeras.data.token_windows import UNSCORED, make_token_windows
from bvkeras.encoders.special_tokens import SpecialTokens
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import ArgumentError, BackboneError
from tests.awkward_tokenizers import CONTENTS, EXPECTED, TOKENIZERS

NAMES = sorted(TOKENIZERS)
ROBERTA = TOKENIZERS["roberta"]


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_offsets_are_those_of_transformers(name):
    expected, tokenizer = EXPECTED[name], TOKENIZERS[name]
    texts = expected["texts"]
    assert [ids.tolist() for ids in tokenizer.encode(texts)] == expected["ids"]
    for row, (ids, offsets) in enumerate(tokenizer.encode_with_offsets(texts)):
        assert ids.tolist() == expected["ids"][row], texts[row]
        assert offsets.tolist() == expected["offsets"][row], texts[row]
    rows = tokenizer.pack(texts, max_tokens=10_000)
    assert [ids.tolist() for ids, _ in rows] == expected["rows"]


@pytest.mark.parametrize("name", NAMES)
def test_truncated_pairs_are_those_of_transformers(name):
    tokenizer = TOKENIZERS[name]
    for a, b, max_tokens, expected in EXPECTED[name]["pairs"]:
        [(ids, segments)] = tokenizer.pack([a], [b], max_tokens)
        assert ids.tolist() == expected, (a, b, max_tokens)
        [offsets] = tokenizer.pack_offsets([a], [b], max_tokens)
        assert len(offsets) == len(segments) == len(ids)
        count = tokenizer.special_tokens.count(2)
        assert (offsets[:, 0] == -1).sum() == count
        # The second text and the one token after it.
        begin = len(ids) - segments.sum()
        assert (segments[begin:] == 1).all()
        assert offsets[begin - 1, 0] == offsets[-1, 0] == -1


@pytest.mark.parametrize("name", NAMES)
def test_attributes(name):
    expected, tokenizer = EXPECTED[name], TOKENIZERS[name]
    assert tokenizer.vocabulary_size == expected["size"]
    assert tokenizer.pad_id == expected["pad_id"]
    ids = {"roberta": (0, 2, None), "bert": (2, 3, 1)}[name]
    assert (tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id) == ids


def test_special_tokens_are_the_post_processors():
    assert ROBERTA.special_tokens == SpecialTokens(0, (2, 2), 2, False)
    assert TOKENIZERS["bert"].special_tokens == SpecialTokens(2, (3,), 3, True)
    with pytest.raises(ArgumentError, match=r"more than 4, .* got 4"):
        ROBERTA.pack(["a"], ["b"], 4)
    lengths = token_lengths(ROBERTA, ["the cat"], ["the mat"])
    [(ids, _)] = ROBERTA.pack(["the cat"], ["the mat"])
    assert lengths.tolist() == [len(ids)]


def test_plain_bert_is_what_its_tokenizer_says():
    """The same words, places and special tokens, by either class."""
    vocabulary = CONTENTS["bert"]["model"]["vocab"]
    plain = WordPiece(sorted(vocabulary, key=vocabulary.get), lowercase=False)
    content = CONTENTS["bert"] | {
        "added_tokens": CONTENTS["bert"]["added_tokens"][:5]
    }
    general = Tokenizer(content)
    assert general.special_tokens == plain.special_tokens
    assert general.vocabulary_size == plain.vocabulary_size
    texts = EXPECTED["bert"]["texts"]
    for one, other in zip(
        general.encode_words(texts), plain.encode_words(texts), strict=True
    ):
        for array, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_words_begin_behind_their_blank():
    [words] = ROBERTA.encode_words(["ran  (Zoë)"])
    starts = words.offsets[~words.continued, 0]
    # The first of two blanks is a word of its own.
    assert starts.tolist() == [0, 4, 5, 6, 9]
    assert words.offsets[-1].tolist() == [9, 10]


def test_tags_are_on_the_words_first_pieces():
    sentence = TaggedSentence("s", ("Zoë", "in", "U.S."), ("B-P", "O", "B-L"))
    names = ("O", "B-P", "I-P", "B-L", "I-L")
    made = make_token_windows([sentence], ROBERTA, 64, names)
    labels = made.labels[0]
    [words] = ROBERTA.encode_words([sentence.text])
    scored = [
        (sentence.text[first], names[label])
        for first, label in zip(words.offsets[:, 0], labels[1:-1], strict=True)
        if label != UNSCORED
    ]
    assert scored == [
        *(("Z", "B-P"), ("i", "O"), ("U", "B-L")),
        *((".", "I-L"), ("S", "I-L"), (".", "I-L")),
    ]


def test_digest_is_of_all_that_decides_the_ids():
    content = CONTENTS["bert"]
    digest = Tokenizer(content).digest
    cut = {"truncation": {"max_length": 4}, "padding": {"pad_id": 0}}
    assert Tokenizer(content | cut).digest == digest
    added = [dict(token) for token in content["added_tokens"]]
    added[-1]["lstrip"] = True
    others = [
        Tokenizer(content | {"added_tokens": added}),
        Tokenizer(content | {"normalizer": {"type": "NFC"}}),
        Tokenizer(content, "[UNK]"),
        ROBERTA,
    ]
    assert len({digest, *(other.digest for other in others)}) == 5


def _template(single, pair):
    def parts(tokens):
        return [
            {"Sequence": {"id": token[1], "type_id": 0}}
            if token[0] == "$"
            else {"SpecialToken": {"id": token, "type_id": 0}}
            for token in tokens.split()
        ]

    ids = {"[CLS]": 2, "[SEP]": 3}
    return {
        "type": "TemplateProcessing",
        "single": parts(single),
        "pair": parts(pair),
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]}
            for name, number in ids.items()
        },
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "Other"}}, "is no tokenizer that `tokenizers`"),
        ({"post_processor": None}, "other special tokens .*: a a$"),
        (
            {"post_processor": _template("$A [SEP]", "$A [SEP] $B [SEP]")},
            r"other special tokens .*: a \[SEP\] a \[SEP\]",
        ),
        (
            {"post_processor": _template("[CLS] $A", "[CLS] $A [SEP] $B")},
            "other special tokens",
        ),
        (
            {
                "post_processor": _template(
                    "[CLS] $A [SEP]", "[CLS] $B [SEP] $A [SEP]"
                )
            },
            "other special tokens",
        ),
        (
            {
                "normalizer": {
                    "type": "Replace",
                    "pattern": {"String": "a"},
                    "content": "",
                }
            },
            "makes nothing of",
        ),
    ],
)
def test_what_it_cannot_use_is_refused(changes, message):
    with pytest.raises(BackboneError, match=message) as raised:
        Tokenizer(CONTENTS["bert"] | changes)
    assert "\n" not in str(raised.value)


def test_padding_token_must_be_there():
    with pytest.raises(BackboneError, match="padding token '<none>'"):
        Tokenizer(CONTENTS["bert"], "<none>")
