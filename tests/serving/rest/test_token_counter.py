"""Tokens are counted as the graph will have them, before it runs."""

import json

import numpy as np
import pytest

from bvkeras.serving import export
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.predict_request import read_request
from bvkeras.serving.rest.request_error import RequestError
from bvkeras.serving.rest.token_counter import TokenCounter
from tests.serving.conftest import MAX_TOKENS, served

TEXTS = ["a joy", "Ähm … 漢字 🙂", "[SEP] no", "word " * 40, "x" * 120]


@pytest.fixture(scope="module")
def version(exported):
    return LoadedVersion(exported.second)


def array(texts):
    return np.array([text.encode() for text in texts], dtype=object)


def test_texts_are_counted_as_the_graph_pads_them(version):
    for text in TEXTS:
        texts = {"text": array([text])}
        outputs = version.run("hidden_states", texts)
        size = version.counter.count("hidden_states", texts)
        assert (1, size.num_tokens) == outputs["token_ids"].shape
        assert version.num_values("hidden_states", size) == sum(
            output.size for output in outputs.values()
        )
    size = version.counter.count("sst2", {"text": array(TEXTS)})
    assert size.num_tokens == len(TEXTS) * MAX_TOKENS


@pytest.mark.parametrize("question", ["who?", "who was it of all " * 5])
@pytest.mark.parametrize("words", [1, 5, 17, 18, 19, 60])
def test_windows_are_counted_as_the_graph_cuts_them(windowed, question, words):
    texts = {
        "question": array([question, "a"]),
        "context": array(["was it " * words, "first"]),
    }
    outputs = windowed.run("hidden_states", texts)
    size = windowed.counter.count("hidden_states", texts)
    assert size.num_tokens == outputs["token_ids"].size
    assert size.counts[0].tolist() == np.bincount(outputs["row"]).tolist()
    assert windowed.num_values("hidden_states", size) == sum(
        output.size for output in outputs.values()
    )


@pytest.fixture(scope="module")
def windowed(encoder, heads, tmp_path_factory):
    """An export whose first task cuts contexts into windows."""
    directory = tmp_path_factory.mktemp("windowed")
    return LoadedVersion(
        export(encoder, [served("squad_v2", encoder, heads)], directory)
    )


def test_unknown_graph_is_counted_by_bytes_and_places():
    counter = TokenCounter()
    texts = counter.count("serve", {"text": array(["four", "é"])})
    assert texts.row_tokens.tolist() == [4, 2]
    ids = counter.count("serve", {"ids": np.ones((3, 7), np.int64)})
    assert ids.num_tokens == 21
    floats = counter.count("serve", {"image": np.ones((3, 9, 9), np.float32)})
    assert floats.num_tokens == 3


def ask(version, signature, inputs, **limits):
    body = json.dumps({"signature_name": signature, "inputs": inputs})
    return read_request(body.encode(), version, Limits(**limits))


def test_limits_hold_before_anything_is_computed(version):
    ids = np.ones((2, 8), int).tolist()
    tokens = {n: ids for n in ("token_ids", "segment_ids", "padding_mask")}
    texts = {"text": ["word " * 40, "a"]}
    span = {"question": ["a"], "context": ["word " * 500]}
    for signature, inputs, count in (
        ("tokens", tokens, 16),
        ("sst2", texts, 2 * MAX_TOKENS),
        ("squad_v2", span, None),
    ):
        count = count or ask(version, signature, inputs).size.num_tokens
        assert ask(version, signature, inputs, tokens=count).num_rows
        with pytest.raises(RequestError, match=r"\(--max-tokens\)$") as error:
            ask(version, signature, inputs, tokens=count - 1)
        assert str(error.value).startswith(f"{count} tokens")
        assert error.value.status == 400
    count = ask(version, "hidden_states", texts).num_values
    assert ask(version, "hidden_states", texts, values=count).num_rows
    with pytest.raises(RequestError, match=r"\(--max-values\)$") as error:
        ask(version, "hidden_states", texts, values=count - 1)
    assert f"{count} values, expected at most {count - 1}" in str(error.value)
