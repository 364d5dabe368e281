"""Tokenizers that are no plain BERT's, kept with what transformers gives."""

import json
import pathlib

from bvkeras.encoders.tokenizer import Tokenizer

_FOLDER = pathlib.Path(__file__).parent / "parity" / "tokenizers"


def _read(name):
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))


EXPECTED = _read("expected.json")
CONTENTS = {name: _read(f"{name}.json") for name in EXPECTED}
TOKENIZERS = {
    name: Tokenizer(content, EXPECTED[name]["pad_token"])
    for name, content in CONTENTS.items()
}
