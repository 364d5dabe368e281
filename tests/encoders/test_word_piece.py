import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import ArgumentError, BackboneError

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "fox", "##es", "é"]
UNK, CLS, SEP, THE, FOX, ES, ACCENTED = range(1, 8)


@pytest.fixture(scope="module")
def tokenizer():
    return WordPiece(VOCABULARY)


def test_attributes(tokenizer):
    assert (tokenizer.pad_id, tokenizer.unk_id) == (0, UNK)
    assert (tokenizer.cls_id, tokenizer.sep_id) == (CLS, SEP)
    assert tokenizer.vocabulary_size == len(VOCABULARY)
    assert tokenizer.vocabulary == VOCABULARY
    assert tokenizer.lowercase
    assert tokenizer.strip_accents


def test_encode_gives_int32_pieces_without_special_tokens(tokenizer):
    ids = tokenizer.encode(["The foxes", "", "cat [SEP]"])
    assert [row.tolist() for row in ids] == [[THE, FOX, ES], [], [UNK, SEP]]
    assert {row.dtype for row in ids} == {np.dtype("int32")}


def test_encode_of_more_texts_than_one_call_takes(tokenizer, monkeypatch):
    monkeypatch.setattr("bvkeras.encoders.tokenizer._TEXTS_PER_CALL", 2)
    ids = tokenizer.encode(["the", "fox", "the fox", "fox the", "foxes"])
    assert [len(row) for row in ids] == [1, 1, 2, 2, 2]


def test_pieces_come_with_their_characters(tokenizer, monkeypatch):
    monkeypatch.setattr("bvkeras.encoders.tokenizer._TEXTS_PER_CALL", 2)
    texts = ["🐈 The foxes", "", "the"]
    pieces = tokenizer.encode_with_offsets(texts)
    for (ids, offsets), expected in zip(
        pieces, tokenizer.encode(texts), strict=True
    ):
        assert ids.tolist() == expected.tolist()
        assert offsets.shape == (len(ids), 2)
        assert ids.dtype == offsets.dtype == np.int32
    assert pieces[0][1].tolist() == [[0, 1], [2, 5], [6, 9], [9, 11]]


def test_pack_puts_special_tokens_and_segments(tokenizer):
    [(ids, segments)] = tokenizer.pack(["the"], ["fox the"])
    assert ids.tolist() == [CLS, THE, SEP, FOX, THE, SEP]
    assert segments.tolist() == [0, 0, 0, 1, 1, 1]
    [(ids, segments)] = tokenizer.pack(["foxes"])
    assert ids.tolist() == [CLS, FOX, ES, SEP]
    assert segments.tolist() == [0, 0, 0, 0]
    assert ids.dtype == segments.dtype == np.int32


def test_pack_truncates_one_text_at_its_end(tokenizer):
    [(ids, _)] = tokenizer.pack(["the fox the"], max_tokens=4)
    assert ids.tolist() == [CLS, THE, FOX, SEP]


def test_offsets_are_places_in_the_texts(tokenizer):
    [offsets] = tokenizer.pack_offsets(["the"], ["foxes the"])
    special = [-1, -1]
    assert offsets.tolist() == [
        *(special, [0, 3], special),
        *([0, 3], [3, 5], [6, 9], special),
    ]
    assert offsets.dtype == np.int32


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", []),
        ("the\u200b\x00fox", [[0, 8]]),
        ("e\u0301 fox", [[0, 1], [3, 6]]),
        ("🦊 fox", [[0, 1], [2, 5]]),
        ("ＴＨＥ THE", [[0, 3], [4, 7]]),
    ],
)
def test_offsets_count_code_points_of_the_text_as_given(
    tokenizer, text, places
):
    [offsets] = tokenizer.pack_offsets([text])
    assert offsets.tolist() == [[-1, -1], *places, [-1, -1]]


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4),
    st.booleans(),
    st.integers(4, 12),
)
def test_offsets_belong_to_the_tokens(tokenizer, pairs, has_second, max_tokens):
    texts_a, texts_b = zip(*pairs, strict=True)
    texts_b = texts_b if has_second else None
    rows = tokenizer.pack(texts_a, texts_b, max_tokens)
    offsets = tokenizer.pack_offsets(texts_a, texts_b, max_tokens)
    for (ids, segments), places, pair in zip(rows, offsets, pairs, strict=True):
        assert len(places) == len(ids)
        for token, segment, (first, last) in zip(
            ids, segments, places, strict=True
        ):
            if first == -1:
                assert (last, token in (CLS, SEP)) == (-1, True)
            else:
                assert 0 <= first <= last <= len(pair[segment])


def test_accents_follow_case_unless_told(tokenizer):
    assert tokenizer.encode(["É"])[0].tolist() == [UNK]
    kept = WordPiece(VOCABULARY, strip_accents=False)
    assert kept.encode(["É"])[0].tolist() == [ACCENTED]
    cased = WordPiece(VOCABULARY, lowercase=False)
    assert cased.encode(["é The"])[0].tolist() == [ACCENTED, UNK]


def test_chinese_characters_stay_together_when_told():
    vocabulary = [*VOCABULARY, "中文", "中", "文"]
    split = WordPiece(vocabulary).encode(["中文"])[0]
    whole = WordPiece(vocabulary, tokenize_chinese_chars=False)
    assert split.tolist() == [9, 10]
    assert whole.encode(["中文"])[0].tolist() == [8]


def test_digest_depends_on_vocabulary_and_settings(tokenizer):
    assert WordPiece(VOCABULARY).digest == tokenizer.digest
    others = [
        WordPiece(VOCABULARY[:-1]),
        WordPiece(VOCABULARY, lowercase=False),
        WordPiece(VOCABULARY, strip_accents=False),
        WordPiece(VOCABULARY, tokenize_chinese_chars=False),
    ]
    assert len({tokenizer.digest, *(t.digest for t in others)}) == 5


def test_a_missing_special_token_is_named():
    with pytest.raises(BackboneError, match=r"7 pieces .* \[SEP\]"):
        WordPiece([piece for piece in VOCABULARY if piece != "[SEP]"])


def test_a_repeated_piece_is_named():
    with pytest.raises(BackboneError, match=r"'fox' twice, as piece 5 .* 8"):
        WordPiece([*VOCABULARY, "fox"])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("the fox", "got one str"),
        (["the", None], "NoneType in row 1"),
        (["the", b"fox"], "bytes in row 1"),
        (["é", "a\ud800"], "row 1 has a lone surrogate at character 1"),
    ],
)
def test_what_is_no_text_is_named(tokenizer, texts, message):
    with pytest.raises(ArgumentError, match=message):
        tokenizer.encode(texts)


def test_pack_refuses_what_leaves_no_room(tokenizer):
    with pytest.raises(ArgumentError, match=r"more than 2,.*got 2"):
        tokenizer.pack(["the"], max_tokens=2)
    with pytest.raises(ArgumentError, match=r"more than 3,.*got 3"):
        tokenizer.pack(["the"], ["fox"], max_tokens=3)


def test_pack_refuses_unequal_numbers_of_texts(tokenizer):
    with pytest.raises(ArgumentError, match=r"\(2\), got 1"):
        tokenizer.pack(["the", "fox"], ["fox"])
