"""Writes what tokenizers of other layouts give, for test_tokenizer_parity.py.

Needs transformers, which the tests do not:

    python make_tokenizers.py

Beside this script it writes

    tokenizers/roberta.json   a tokenizer.json: byte-level BPE trained on the
                              texts below, RoBERTa's special tokens
    tokenizers/bert.json      WordPiece of tiny_tanh/, with added tokens of
                              all kinds
    tokenizers/expected.json  ids and offsets of awkward texts, and truncated
                              pairs, by each

Last written with transformers 5.24.0, tokenizers 0.23.3.
"""

import json
import pathlib

import tokenizers
import transformers
from make_reference import MAX_TOKENS, PAIRS, TEXTS, TINY

HERE = pathlib.Path(__file__).parent / "tokenizers"
ADDED_TEXTS = [
    "[E1] the cat[E1]sat [E1]  on",
    "[e1] Covid-19 covid-19 COVID-19s aCovid-19",
    "  <mask>  the cat <mask>, <mask>",
    "over night overnight over  night",
    "Zoë-Bot zoë-bot zoe-bot the mat.",
]


def roberta():
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    bpe.train_from_iterator(
        TEXTS * 3 + [b for pair in PAIRS for b in pair], trainer
    )
    model = json.loads(bpe.to_str())["model"]
    return transformers.RobertaTokenizer(
        vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]]
    )


def bert():
    tokenizer = transformers.BertTokenizer.from_pretrained(TINY)
    added = [
        "[E1]",
        tokenizers.AddedToken("Covid-19", single_word=True),
        tokenizers.AddedToken("<mask>", lstrip=True, normalized=False),
        tokenizers.AddedToken("over night", normalized=True),
        tokenizers.AddedToken("Zoë-Bot", rstrip=True, normalized=True),
    ]
    tokenizer.add_tokens(added[1:])
    tokenizer.add_special_tokens({"additional_special_tokens": added[:1]})
    return tokenizer


def truncated(tokenizer, a, b, max_tokens):
    # As a batch: given alone, an empty second text counts as none.
    row = tokenizer([a], [b], truncation=True, max_length=max_tokens)
    return row["input_ids"][0]


def expected(tokenizer):
    texts = TEXTS + ADDED_TEXTS
    found = tokenizer(
        texts, add_special_tokens=False, return_offsets_mapping=True
    )
    num_special = tokenizer.num_special_tokens_to_add(pair=True)
    return {
        "texts": texts,
        "ids": found["input_ids"],
        "offsets": found["offset_mapping"],
        "rows": tokenizer(texts)["input_ids"],
        "pairs": [
            [a, b, n, truncated(tokenizer, a, b, n)]
            for a, b in PAIRS
            for n in MAX_TOKENS
            if n > num_special
        ],
    }


def main():
    HERE.mkdir(exist_ok=True)
    results = {}
    for name, tokenizer in (("roberta", roberta()), ("bert", bert())):
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        path = HERE / f"{name}.json"
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        results[name] = {
            "pad_token": tokenizer.pad_token,
            "pad_id": tokenizer.pad_token_id,
            "size": len(tokenizer),
            **expected(tokenizer),
        }
    path = HERE / "expected.json"
    path.write_text(json.dumps(results) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
