"""Writes what transformers makes of folders with all kinds of tokenizer files.

Needs torch and transformers, which the tests do not:

    python make_tokenizer_files.py

Beside this script it writes tokenizer_files.json: for each case the files that
differ from those in tiny_tanh/ (null for those that are not there), and the
ids of the texts below; null where transformers fails.

Last written with torch 2.13.0, transformers 5.24.0, tokenizers 0.23.3.
"""

import json
import pathlib
import shutil
import tempfile

import tokenizers
import transformers
from make_reference import TINY

TEXTS = [
    "The Cat [E1] Zoë 中文 [MASK] Covid",
    " [e1] covid-19 the<mask> [SEP] a\x00 Straße İ",
]
HERE = pathlib.Path(__file__).parent
PLAIN = json.loads(
    tokenizers.BertWordPieceTokenizer(
        str(TINY / "vocab.txt"), lowercase=False, strip_accents=False
    )._tokenizer.to_str()
)
VOCABULARY = (TINY / "vocab.txt").read_text(encoding="utf-8")
SIZE = len(PLAIN["model"]["vocab"])
CONFIG = "tokenizer_config.json"
FAST = "tokenizer.json"
E1 = {
    "content": "[E1]",
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
COVID = E1 | {"content": "Covid", "normalized": True, "special": False}
ADDED = {"[E1]": SIZE, "Covid": SIZE + 1}
NORMALIZER = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Lowercase"},
        PLAIN["normalizer"] | {"handle_chinese_chars": False},
    ],
}
GENERAL = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}


def fast(*added, **changes):
    tokens = [{"id": SIZE + i, **token} for i, token in enumerate(added)]
    return PLAIN | {"added_tokens": PLAIN["added_tokens"] + tokens} | changes


def cased(**more):
    return {"do_lower_case": False, **more}


def decoder(*tokens, first=SIZE):
    return {str(first + i): token for i, token in enumerate(tokens)}


ALL = decoder(*({k: t[k] for k in E1} for t in PLAIN["added_tokens"]), first=0)
CASES = {
    "as it is": {},
    "no settings": {CONFIG: None},
    "settings and tokenizer.json": {FAST: fast(), "vocab.txt": None},
    "tokenizer.json, no settings": {
        FAST: fast(),
        "vocab.txt": None,
        CONFIG: None,
    },
    "tokenizer.json, settings without case": {FAST: fast(), CONFIG: {}},
    "settings against tokenizer.json": {
        FAST: fast(),
        CONFIG: {"do_lower_case": True, "strip_accents": False},
    },
    "normaliser, BERT": {FAST: fast(normalizer=NORMALIZER)},
    "normaliser, general": {
        FAST: fast(normalizer=NORMALIZER),
        CONFIG: GENERAL,
    },
    "normaliser, backend": {
        FAST: fast(normalizer=NORMALIZER),
        CONFIG: GENERAL | {"tokenizer_class": "TokenizersBackend"},
    },
    "words, BERT": {FAST: fast(pre_tokenizer={"type": "Whitespace"})},
    "words, general": {
        FAST: fast(pre_tokenizer={"type": "Whitespace"}),
        CONFIG: GENERAL,
    },
    "limit, BERT": {
        FAST: fast(model=PLAIN["model"] | {"max_input_chars_per_word": 2})
    },
    "limit, general": {
        FAST: fast(model=PLAIN["model"] | {"max_input_chars_per_word": 2}),
        CONFIG: GENERAL,
    },
    "cuts and pads": {
        FAST: fast(
            truncation={
                "direction": "Right",
                "max_length": 4,
                "strategy": "LongestFirst",
                "stride": 0,
            },
            padding={
                "strategy": {"Fixed": 40},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "[PAD]",
            },
        )
    },
    "no post-processor, BERT": {FAST: fast(post_processor=None)},
    "no post-processor, general": {
        FAST: fast(post_processor=None),
        CONFIG: GENERAL,
    },
    "plain, general": {FAST: fast(), CONFIG: GENERAL},
    "added in tokenizer.json": {FAST: fast(E1, COVID)},
    "added in tokenizer.json, general": {
        FAST: fast(E1, COVID),
        CONFIG: GENERAL,
    },
    "added in tokenizer.json, not in the decoder": {
        FAST: fast(E1, COVID),
        CONFIG: cased(added_tokens_decoder=ALL),
    },
    "saved by transformers": {
        FAST: fast(E1, COVID),
        CONFIG: cased(
            added_tokens_decoder=ALL | decoder(E1, COVID),
            additional_special_tokens=["[E1]"],
            tokenizer_class="BertTokenizer",
        ),
        "special_tokens_map.json": {"additional_special_tokens": ["[E1]"]},
        "added_tokens.json": ADDED,
    },
    "added_tokens.json": {"added_tokens.json": ADDED},
    "added_tokens.json, no settings": {
        "added_tokens.json": ADDED,
        CONFIG: None,
    },
    "added_tokens.json, special": {
        "added_tokens.json": ADDED,
        "special_tokens_map.json": {"additional_special_tokens": ["[E1]"]},
    },
    "added_tokens.json, other ids": {
        "added_tokens.json": {"[E1]": 300, "Covid": 195}
    },
    "added_tokens.json beside tokenizer.json": {
        FAST: fast(),
        "added_tokens.json": ADDED,
    },
    "added_tokens.json, not in the decoder": {
        "added_tokens.json": ADDED,
        CONFIG: cased(added_tokens_decoder=decoder(E1)),
    },
    "added_tokens.json, of the vocabulary": {
        "added_tokens.json": {"cat": PLAIN["model"]["vocab"]["cat"]}
    },
    "special_tokens_map.json": {
        "special_tokens_map.json": {"additional_special_tokens": ["[E1]"]}
    },
    "special_tokens_map.json, other roles": {
        "special_tokens_map.json": {"sep_token": "the", "cls_token": "cat"}
    },
    "special_tokens_map.json, stripping": {
        "special_tokens_map.json": {
            "mask_token": E1 | {"content": "[MASK]", "lstrip": True}
        }
    },
    "special_tokens_map.json, not in the decoder": {
        "special_tokens_map.json": {"additional_special_tokens": ["[E1]"]},
        CONFIG: cased(added_tokens_decoder=ALL),
    },
    "special_tokens_map.json, roles against the decoder": {
        "special_tokens_map.json": {"sep_token": "the"},
        CONFIG: cased(added_tokens_decoder=ALL, sep_token="[SEP]"),
    },
    "roles": {CONFIG: cased(sep_token="the", pad_token="mat")},
    "roles and tokenizer.json": {
        FAST: fast(),
        CONFIG: cased(sep_token="the", unk_token="mat"),
    },
    "decoder": {CONFIG: cased(added_tokens_decoder=decoder(E1, COVID))},
    "decoder, general": {
        FAST: fast(),
        CONFIG: GENERAL | {"added_tokens_decoder": decoder(E1, COVID)},
    },
    "decoder, other ids": {
        CONFIG: cased(added_tokens_decoder=decoder(E1, first=300))
    },
    "decoder, stripping": {
        CONFIG: cased(
            added_tokens_decoder=decoder(
                E1 | {"content": "[MASK]", "lstrip": True}, first=4
            )
        )
    },
    "additional_special_tokens": {
        CONFIG: cased(additional_special_tokens=["[E1]", "Covid"])
    },
    "extra_special_tokens": {
        CONFIG: cased(extra_special_tokens={"entity_token": "[E1]"})
    },
    "entity_token": {CONFIG: cased(entity_token="[E1]")},
    "never_split": {CONFIG: cased(never_split=["Covid"])},
    "do_basic_tokenize": {CONFIG: cased(do_basic_tokenize=False)},
    "split_special_tokens": {CONFIG: cased(split_special_tokens=True)},
    "wordpieces_prefix": {CONFIG: cased(wordpieces_prefix="@@")},
    "limits": {
        CONFIG: cased(
            model_max_length=4, padding_side="left", max_len=5, stride=1
        )
    },
    "truncation_side": {CONFIG: cased(truncation_side="left")},
    "no case": {CONFIG: {"do_lower_case": None}},
    "slow": {
        CONFIG: cased(
            never_split=None, do_basic_tokenize=True, unk_token="[UNK]"
        )
    },
    "DistilBERT's class": {
        CONFIG: cased(tokenizer_class="DistilBertTokenizer")
    },
    "another class": {CONFIG: cased(tokenizer_class="BertJapaneseTokenizer")},
    "general class, no tokenizer.json": {CONFIG: GENERAL},
    "vocab.txt of another": {
        FAST: fast(),
        "vocab.txt": "\n".join(reversed(VOCABULARY.splitlines())),
    },
    "vocab.txt, CRLF": {"vocab.txt": VOCABULARY.replace("\n", "\r\n")},
    "vocab.txt, blank lines": {"vocab.txt": VOCABULARY + "\n\n"},
    "vocab.txt, no end": {"vocab.txt": VOCABULARY.removesuffix("\n")},
    # transformers takes the mark for a part of [PAD].
    "vocab.txt, byte-order mark": {"vocab.txt": "\ufeff" + VOCABULARY},
    "vocab.txt, twice": {"vocab.txt": VOCABULARY + "the\n"},
    "vocab.txt, blank line inside": {
        "vocab.txt": VOCABULARY.replace("\nthe\n", "\n\nthe\n")
    },
}


def ids(files):
    with tempfile.TemporaryDirectory() as parent:
        directory = pathlib.Path(parent) / "model"
        shutil.copytree(TINY, directory)
        for name, content in files.items():
            path = directory / name
            if content is None:
                path.unlink()
            elif isinstance(content, str):
                path.write_bytes(content.encode())
            else:
                path.write_text(json.dumps(content), encoding="utf-8")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        except (TypeError, ValueError):
            return None
        return tokenizer(TEXTS, padding=False)["input_ids"]


def main():
    cases = {
        name: {"files": files, "ids": ids(files)}
        for name, files in CASES.items()
    }
    path = HERE / "tokenizer_files.json"
    path.write_text(
        json.dumps({"texts": TEXTS, "cases": cases}, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
