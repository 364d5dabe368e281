"""Families of encoders against what `transformers` computed.

families/make_reference.py wrote the numbers and the checkpoints; neither torch
nor transformers is needed.
"""

import json
import pathlib

import numpy as np
import pytest

from bvkeras.encoders import huggingface
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
    backbone, hidden_act = huggingface.load_backbone(
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
