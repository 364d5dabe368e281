"""Families of encoders against what `transformers` computed.

families/make_reference.py wrote the numbers and the checkpoints; neither torch
nor transformers is needed.
"""

import json
import pathlib

import numpy as np
import pytest

from bvkeras.encoders import huggingface
from bvkeras.encoders.loading import load_backbone
from bvkeras.layers.gelu import set_hidden_act
from bvkeras.layers.hidden_states import HiddenStates

HERE = pathlib.Path(__file__).parent / "families"
REFERENCE = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))
ARRAYS = np.load(HERE / "reference.npz")
TOLERANCE = 1e-4
NETWORKS = {
    "roberta": "erf",
    "xlm_roberta": "tanh",
    "distilbert": "erf",
    "electra": "erf",
    "electra_wide": "erf",
    "deberta_v3": "erf",
    "albert": "tanh",
    "albert_groups": "tanh",
}


def _largest_difference(backbone, name, batch):
    inputs = {
        key: ARRAYS[f"{name}_{batch}_{key}"]
        for key in ("token_ids", "segment_ids", "padding_mask")
    }
    states = HiddenStates(backbone)(inputs).numpy()
    states = states[inputs["padding_mask"] == 1]
    expected = ARRAYS[f"{name}_{batch}_hidden_states"]
    assert states.shape == expected.shape
    return np.abs(states - expected).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_hidden_states_equal_hugging_faces(family_checkpoints, name):
    # Two of them have no tokenizer.
    backbone, hidden_act, *_ = huggingface.load_backbone(
        family_checkpoints / name, None, None
    )
    assert hidden_act == NETWORKS[name]
    set_hidden_act(backbone, hidden_act)
    # Rows of 90, 11 and 1 tokens; for DeBERTa most of them far away.
    assert _largest_difference(backbone, name, "long") <= TOLERANCE
    if name in REFERENCE["families"]:
        assert _largest_difference(backbone, name, "texts") <= TOLERANCE
    other = {"erf": "tanh", "tanh": "erf"}[hidden_act]
    set_hidden_act(backbone, other)
    assert _largest_difference(backbone, name, "long") > TOLERANCE


@pytest.mark.parametrize("name", REFERENCE["families"])
def test_token_ids_and_offsets_equal_hugging_faces(family_checkpoints, name):
    tokenizer = load_backbone(family_checkpoints / name).tokenizer
    expected, texts = REFERENCE["families"][name], REFERENCE["texts"]
    rows = tokenizer.pack(texts, max_tokens=10_000)
    offsets = tokenizer.pack_offsets(texts, max_tokens=10_000)
    for number, text in enumerate(texts):
        assert rows[number][0].tolist() == expected["ids"][number], repr(text)
        # Of special tokens ours are -1 and theirs 0.
        found = offsets[number][1:-1].tolist()
        assert found == expected["offsets"][number][1:-1], repr(text)
    for pair in expected["pairs"]:
        [(ids, _)] = tokenizer.pack(
            [pair["text_a"]], [pair["text_b"]], pair["max_tokens"]
        )
        assert ids.tolist() == pair["token_ids"], pair


@pytest.mark.parametrize("name", REFERENCE["families"])
def test_rows_equal_hugging_faces(family_checkpoints, name):
    encoder = load_backbone(family_checkpoints / name)
    for row, (a, b) in enumerate(REFERENCE["rows"]):
        batch = encoder.preprocess([a], b if b is None else [b])
        num_tokens = batch["token_ids"].shape[1]
        assert batch["padding_mask"].all()
        names = ["token_ids", "padding_mask"]
        if encoder.family.has_segments:
            names.append("segment_ids")
        for key in names:
            expected = ARRAYS[f"{name}_texts_{key}"][row]
            assert batch[key][0].tolist() == expected[:num_tokens].tolist()
        assert not ARRAYS[f"{name}_texts_padding_mask"][row, num_tokens:].any()
