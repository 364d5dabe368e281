"""The graph of an export is what counts, whoever computes it."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.serving import inspect, loading
from bvkeras.serving.native_signatures import native_signatures
from bvkeras.serving.warm_up import requests
from tests.native import require_native


@pytest.fixture(scope="module", autouse=True)
def native():
    require_native()


@pytest.fixture(scope="module")
def graph(exported):
    return loading.load(exported.second)


def test_gives_the_graph_s_answers(exported, graph):
    found = inspect(exported.second)
    functions = native_signatures(found, graph.signatures)
    assert functions.keys() == graph.signatures.keys()
    nodes = {
        node.op
        for function in functions.values()
        for part in function.graph.as_graph_def().library.function
        for node in part.node_def
    }
    assert "BvkerasEncodeLayers" in nodes
    for name, inputs in requests(found.description["tasks"]).items():
        inputs = {
            key: tf.constant(
                [*text, b"", b"A longer text, with more words in it."]
            )
            for key, text in inputs.items()
        }
        given, expected = (
            one[name](**inputs) for one in (functions, graph.signatures)
        )
        assert given.keys() == expected.keys()
        for key, values in expected.items():
            assert given[key].dtype == values.dtype
            found, wanted = given[key].numpy(), values.numpy()
            if key == "hidden_states":
                real = expected["padding_mask"].numpy() == 1
                found, wanted = found[real], wanted[real]
            if values.dtype == tf.string:
                np.testing.assert_array_equal(found, wanted)
            else:
                np.testing.assert_allclose(found, wanted, 1e-4, 1e-5)


def test_not_where_the_reference_is_asked_for(exported, graph, monkeypatch):
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    found = inspect(exported.second)
    assert native_signatures(found, graph.signatures) is None


def test_not_where_the_graph_gives_other_answers(exported, graph, tmp_path):
    # The description has another number of heads than the graph.
    copy = shutil.copytree(exported.second, tmp_path / "1")
    path = copy / "assets.extra" / "bvkeras.json"
    description = json.loads(path.read_text())
    config = description["encoder"]["config"]
    assert config["num_heads"] == 2
    config["num_heads"] = 4
    path.write_text(json.dumps(description))
    assert native_signatures(inspect(copy), graph.signatures) is None
