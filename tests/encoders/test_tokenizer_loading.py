"""All kinds of tokenizer files: what transformers makes of them, or refused."""

import json
import logging
import pathlib

import pytest

from bvkeras.encoders.families.bert import Bert
from bvkeras.encoders.tokenizer_loading import load_tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import BackboneError

PARITY = pathlib.Path(__file__).parents[1] / "parity"
REFERENCE = json.loads(
    (PARITY / "tokenizer_files.json").read_text(encoding="utf-8")
)
CASES = REFERENCE["cases"]

# Where versions of transformers differ, files contradict one another, or
# something is asked for that is not done here.
REFUSED = {
    "tokenizer.json, no settings": "lowercase False, .* has no do_lower_case",
    "tokenizer.json, settings without case": "has no do_lower_case",
    "normaliser, BERT": "normalizer of type 'Sequence'.*TokenizerFast",
    "words, BERT": "pre_tokenizer of type 'Whitespace'",
    "limit, BERT": "max_input_chars_per_word 2, expected 100",
    "no post-processor, BERT": "other special tokens",
    "no post-processor, general": "other special tokens",
    "added in tokenizer.json, not in the decoder": r"'\[E1\]' as token 194",
    "added_tokens.json, other ids": r"'\[E1\]' as token 300; .* 195",
    "added_tokens.json, not in the decoder": "'Covid' as token 195; .* no to",
    "special_tokens_map.json, not in the decoder": r"special_tokens '\[E1\]'",
    "special_tokens_map.json, roles against the decoder": "sep_token 'the'",
    "roles and tokenizer.json": r"unk_token '\[UNK\]', expected 'mat'",
    "decoder, other ids": r"'\[E1\]' as token 300; .* 194",
    "never_split": r"never_split \['Covid'\], expected \[\]",
    "do_basic_tokenize": "do_basic_tokenize False, expected True",
    "split_special_tokens": "split_special_tokens True",
    "wordpieces_prefix": "wordpieces_prefix '@@'",
    "truncation_side": "truncation_side 'left', expected 'right'",
    "no case": "do_lower_case None, expected true or false",
    "another class": "'BertJapaneseTokenizer', expected BertTokenizer",
    "general class, no tokenizer.json": "which needs tokenizer.json",
    "vocab.txt, twice": "'the' twice, as piece 127 and as piece 194",
}
# What an export's graph computes; the others have added tokens, other roles,
# or another pipeline.
PLAIN = (
    *("as it is", "no settings", "settings and tokenizer.json"),
    *("settings against tokenizer.json", "cuts and pads", "plain, general"),
    *("limits", "slow", "DistilBERT's class", "vocab.txt of another"),
    *("vocab.txt, CRLF", "vocab.txt, blank lines", "vocab.txt, no end"),
    "vocab.txt, byte-order mark",
)


def write(directory, files):
    for name, content in files.items():
        path = directory / name
        if content is None:
            path.unlink()
        elif isinstance(content, str):
            path.write_bytes(content.encode())
        else:
            path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("case", sorted(CASES.keys() - REFUSED.keys()))
def test_ids_are_those_of_transformers(directory, case):
    write(directory, CASES[case]["files"])
    tokenizer = load_tokenizer(directory, 1000, Bert())
    expected = CASES[case]["ids"]
    if case == "vocab.txt, byte-order mark":
        # transformers adds a second [PAD], and computes the same ids.
        assert tokenizer.pad_id == 0
    rows = tokenizer.pack(REFERENCE["texts"])
    assert [ids.tolist() for ids, _ in rows] == expected
    assert isinstance(tokenizer, WordPiece) == (case in PLAIN)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused_in_one_line(directory, case):
    write(directory, CASES[case]["files"])
    with pytest.raises(BackboneError, match=REFUSED[case]) as raised:
        load_tokenizer(directory, 1000, Bert())
    assert str(directory) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_cases_show_what_settings_do():
    """No case gives the right ids although nothing was applied."""
    plain = CASES["as it is"]["ids"]
    for case in ("decoder", "roles", "no settings", "normaliser, general"):
        assert CASES[case]["ids"] != plain


def test_another_vocabulary_beside_tokenizer_json_is_said(directory, caplog):
    write(directory, CASES["vocab.txt of another"]["files"])
    with caplog.at_level(logging.WARNING, "bvkeras"):
        load_tokenizer(directory, 1000, Bert())
    [record] = caplog.records
    assert "vocab.txt has '##Z' as piece 0, tokenizer.json as 193" in (
        record.getMessage()
    )


def test_added_tokens_need_embeddings(directory):
    write(directory, CASES["decoder"]["files"])
    load_tokenizer(directory, 196, Bert())
    with pytest.raises(BackboneError, match=r"196 word pieces, .* 195$"):
        load_tokenizer(directory, 195, Bert())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config.json", {"added_tokens_decoder": []}, "an object"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"x": {"content": "a"}}},
            "id of",
        ),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"194": {"lstrip": 1, "content": "a"}}},
            "an added token",
        ),
        ("tokenizer_config.json", {"sep_token": 3}, "expected a token, got 3"),
        (
            "tokenizer_config.json",
            {"additional_special_tokens": 3},
            "additional_special_tokens: expected a list of tokens, got 3",
        ),
        ("added_tokens.json", {"[E1]": -1}, "id of a token, got -1"),
        ("added_tokens.json", [], "is no object"),
        ("special_tokens_map.json", {"sep_token": {}}, "expected a token"),
        (
            "tokenizer_config.json",
            {"strip_accents": "no"},
            "strip_accents 'no'",
        ),
        (
            "sentence_bert_config.json",
            {"do_lower_case": True},
            "do_lower_case true, tokenizer_config.json says false",
        ),
    ],
)
def test_damaged_files_are_named(directory, name, content, message):
    (directory / name).write_text(json.dumps(content))
    with pytest.raises(BackboneError, match=message) as raised:
        load_tokenizer(directory, 1000, Bert())
    assert str(directory) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["vocab.txt", "tokenizer.json", "tokenizer_config.json"]
)
def test_git_lfs_pointers_are_named(directory, name):
    (directory / name).write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 12345\n"
    )
    with pytest.raises(
        BackboneError, match=rf"{name} is a git-lfs pointer .* git lfs pull in"
    ):
        load_tokenizer(directory, 1000, Bert())
