"""A real server: answers, statuses, and what it refuses."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bvkeras.serving import inspect, loading
from bvkeras.serving.native_signatures import native_signatures
from tests.serving.rest.conftest import LIMITS

PREDICT = "/v1/models/tiny:predict"
IDS = ("token_ids", "segment_ids", "padding_mask")


@pytest.fixture(scope="module")
def signatures(exported):
    """Computed as the server does; test_native_signatures.py asks the graph."""
    graph = loading.load(exported.second)
    functions = native_signatures(inspect(exported.second), graph.signatures)
    # The graph's weights live as long as what was loaded.
    yield functions or graph.signatures
    del graph


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("sst2", {"text": ["a joy", "Ähm … 漢字 🙂", "no"]}),
        ("stsb", {"text": ["one", "two"], "text_b": ["three", "four"]}),
        (
            "squad_v2",
            {"question": ["who?"], "context": ["Ada was first. " * 12]},
        ),
        (
            "tokens",
            {
                "token_ids": [[1, 5, 2], [1, 2, 0]],
                "segment_ids": [[0, 0, 0], [0, 0, 0]],
                "padding_mask": [[1, 1, 1], [1, 1, 0]],
            },
        ),
        ("hidden_states", {"text": ["all the layers"]}),
    ],
)
def test_answers_are_those_of_the_model(server, signatures, signature, inputs):
    expected = {
        name: value.numpy()
        for name, value in signatures[signature](
            **{
                name: tf.constant(
                    value,
                    tf.string if isinstance(value[0], str) else tf.int32,
                )
                for name, value in inputs.items()
            }
        ).items()
    }
    status, answer = server.request(
        "POST", PREDICT, {"signature_name": signature, "inputs": inputs}
    )
    assert status == 200, answer
    _assert_equal(answer["outputs"], expected)
    rows = [
        dict(zip(inputs, row, strict=True))
        for row in zip(*inputs.values(), strict=True)
    ]
    status, answer = server.request(
        "POST", PREDICT, {"signature_name": signature, "instances": rows}
    )
    assert status == 200, answer
    for place, row in enumerate(answer["predictions"]):
        _assert_equal(row, {k: v[place] for k, v in expected.items()})


def _assert_equal(received, expected):
    if len(expected) == 1:
        received = {next(iter(expected)): received}
    assert received.keys() == expected.keys()
    for name, value in expected.items():
        value = np.asarray(value)
        if value.dtype.kind in "OS":
            texts = np.vectorize(bytes.decode, otypes=[object])(value)
            assert received[name] == texts.tolist()
        else:
            np.testing.assert_allclose(received[name], value, rtol=1e-6)


def test_single_input_needs_no_name(server):
    body = {"signature_name": "sst2", "instances": ["a joy", "a bore"]}
    status, bare = server.request("POST", PREDICT, body)
    assert status == 200
    body["instances"] = [{"text": text} for text in body["instances"]]
    assert server.request("POST", PREDICT, body) == (200, bare)
    encoded = base64.b64encode(b"a joy").decode()
    body["instances"] = [{"b64": encoded}, {"text": "a bore"}]
    assert server.request("POST", PREDICT, body)[0] == 400
    body["instances"] = [{"b64": encoded}, "a bore"]
    assert server.request("POST", PREDICT, body) == (200, bare)


def test_only_output_stands_without_its_name(server):
    row = {"text": "one", "text_b": "two"}
    body = {"signature_name": "stsb", "instances": [row]}
    status, answer = server.request("POST", PREDICT, body)
    assert status == 200
    assert isinstance(answer["predictions"][0], float)


def test_default_answers_every_task(server):
    row = {
        "text": "one", "text_b": "two", "question": "who?",
        "context": "Ada was.",
    }  # fmt: skip
    status, answer = server.request("POST", PREDICT, {"instances": [row]})
    assert status == 200
    [prediction] = answer["predictions"]
    assert {name.partition("/")[0] for name in prediction} == {
        *("sst2", "mnli", "stsb", "squad_v2"),
    }


def test_what_tensorflow_serving_passes_over_is_passed_over(server):
    body = {"signature_name": "sst2", "inputs": {"text": ["a joy"]}}
    status, answer = server.request("POST", PREDICT, body)
    assert status == 200
    body["inputs"]["text_b"] = 7
    more = body | {"id": [1], "parameters": {}}
    assert server.request("POST", PREDICT, more) == (200, answer)
    row = {
        "text": "one", "text_b": "two", "question": "who?",
        "context": "Ada was.",
    }  # fmt: skip
    named = {"signature_name": "", "instances": [row]}
    assert server.request("POST", PREDICT, named) == server.request(
        "POST", PREDICT, {"instances": [row]}
    )
    # Rows are held to their inputs, as there.
    rows = {"signature_name": "sst2", "instances": [row]}
    assert server.request("POST", PREDICT, rows)[0] == 400


def test_row_of_another_signature_is_refused(server):
    row = {"question": "who?", "context": "Ada was first."}
    status, answer = server.request(
        "POST",
        PREDICT,
        {"signature_name": "tokens", "instances": [row]},
    )
    assert status == 400
    assert "token_ids" in answer["error"]


def test_status_and_versions(server):
    status, answer = server.request("GET", "/v1/models/tiny")
    available = {
        "version": "2",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert (status, answer) == (200, {"model_version_status": [available]})
    path = "/v1/models/tiny/versions/2"
    assert server.request("GET", path) == (status, answer)
    body = {"signature_name": "sst2", "instances": ["x"]}
    assert server.request("POST", f"{path}:predict", body)[0] == 200
    for other in ("/v1/models/tiny/versions/1", "/v1/models/other"):
        for method, end in (("GET", ""), ("POST", ":predict")):
            status, answer = server.request(method, other + end, body)
            assert status == 404
            assert answer.keys() == {"error"}
    for wrong in ("x", "-1", "1" * 40, "%00", "²"):
        path = f"/v1/models/tiny/versions/{wrong.replace('²', '%C2%B2')}"
        assert server.request("GET", path)[0] == 400


def test_metadata_is_that_of_tensorflow_serving(server):
    status, answer = server.request("GET", "/v1/models/tiny/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "tiny", "signature_name": "", "version": "2",
    }  # fmt: skip
    definitions = answer["metadata"]["signature_def"]["signature_def"]
    text = definitions["sst2"]["inputs"]["text"]
    assert text["dtype"] == "DT_STRING"
    assert text["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert definitions["sst2"]["method_name"] == "tensorflow/serving/predict"
    tasks = answer["metadata"]["bvkeras"]["tasks"]
    assert tasks["mnli"]["label_names"]


def test_health(server):
    assert server.request("GET", "/healthz") == (200, {"status": "ok"})
    assert server.request("GET", "/readyz") == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 10_000, "deeply"),
        (b"null", "expected an object"),
        (b"[]", "expected an object"),
        ({}, "either instances or inputs"),
        ({"instances": ["x"], "inputs": ["x"]}, "either instances or inputs"),
        ({"signature_name": "other", "instances": ["x"]}, '"other"'),
        ({"signature_name": ["sst2"], "instances": ["x"]}, '["sst2"]'),
        ({"signature_name": None, "instances": ["x"]}, "null"),
        ({"instances": ["x"]}, "instances[0]"),
        ({"inputs": "x"}, "expected an object"),
    ],
)
def test_body_that_is_none_is_refused(server, body, part):
    status, answer = server.request("POST", PREDICT, body)
    assert status == 400
    assert part in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize(
    ("instances", "part"),
    [
        ([], "at least one row"),
        ("x", "a list"),
        (7, "a list"),
        (None, "a list"),
        ({"text": "x"}, "a list"),
        ([""], "row 0 is empty"),
        (["x", " \n\t"], "row 1 is empty"),
        (["x", "a\0b"], "row 1 has a null character"),
        (["x", 7], "row 1: received 7"),
        ([True], "received true"),
        ([None], "received null"),
        ([["x"]], 'received ["x"]'),
        ([{"txt": "x"}], "instances[0]"),
        (["x", {"text": "x"}], "instances[0]"),
        ([{"text": {"b64": "*"}}], "Base64"),
        ([{"text": {"b64": 7}}], "Base64"),
        ([{"text": {"b64": "/w=="}}], "not UTF-8"),
        ([{"text": {"b64": "AA=="}}], "null character"),
        (["\ud800"], "surrogate"),
        (["x" * (LIMITS["max-text-bytes"] + 1)], "bytes, expected at most"),
        (["x"] * (LIMITS["max-rows"] + 1), "rows, expected at most"),
    ],
)
def test_row_that_cannot_be_used_is_named(server, instances, part):
    body = {"signature_name": "sst2", "instances": instances}
    status, answer = server.request("POST", PREDICT, body)
    assert status == 400
    assert part in answer["error"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"token_ids": [[1, 10**6]]}, "row 0: received 1000000, expected 0 to"),
        ({"token_ids": [[1, -1]]}, "row 0: received -1, expected 0 to"),
        ({"token_ids": [[1, 2**40]]}, "expected int32"),
        ({"token_ids": [[1, 1.5]]}, "expected an integer"),
        ({"token_ids": [[1, True]]}, "expected an integer"),
        ({"token_ids": [[1, "2"]]}, "expected an integer"),
        ({"token_ids": [[1, 2], [3]]}, "differ in length"),
        ({"token_ids": [[]]}, "at least 1"),
        ({"token_ids": [1, 2]}, "a list at depth 1"),
        ({"token_ids": [[1, 2], [1, 2]]}, "as many of each"),
        ({"token_ids": [[[1, 2]]]}, "expected an integer"),
        ({"segment_ids": [[0, 0, 0]]}, "segment_ids [1, 3]"),
        ({"segment_ids": [[0, 2]]}, "expected 0 to 1"),
        ({n: [[1] * 129] for n in IDS}, "at most 32: what"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(server, change, part):
    inputs = {
        "token_ids": [[1, 2]],
        "segment_ids": [[0, 0]],
        "padding_mask": [[1, 1]],
    }
    body = {"signature_name": "tokens", "inputs": inputs | change}
    status, answer = server.request("POST", PREDICT, body)
    assert status == 400, answer
    assert part in answer["error"]


def test_large_body_is_refused_before_it_is_read(server):
    body = json.dumps({"instances": ["x" * (1 << 20)]}).encode()
    try:
        status, answer = server.request("POST", PREDICT, body)
    except (BrokenPipeError, ConnectionResetError):
        # Refused so early that the rest could not be sent.
        pass
    else:
        assert status == 413
        assert str(LIMITS["max-body-bytes"]) in answer["error"]
    assert server.is_alive()


def test_wrong_path_and_method_are_json_errors(server):
    for method, path, expected in (
        ("GET", "/nothing", 404),
        ("GET", PREDICT, 405),
        ("DELETE", "/v1/models/tiny", 405),
        ("POST", "/v1/models/tiny:classify", 404),
        ("GET", "/static/../__init__.py", 404),
        ("GET", "/static/%2e%2e/__init__.py", 404),
        ("GET", "/static/..%2f__init__.py", 404),
    ):
        status, answer = server.request(method, path)
        assert status == expected, path
        assert answer.keys() == {"error"}


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\0" * 4096],
        [b"GET\r\n\r\n"],
        [b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"],
        [
            f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n"
            "Transfer-Encoding: chunked\r\n\r\nZZ\r\n".encode()
        ],
        [
            f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n"
            "Content-Length: 100\r\n\r\n{".encode()
        ],
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ],
)
def test_bytes_that_are_no_request_leave_the_server_alive(server, pieces):
    received = server.raw(*pieces)
    assert received == b"" or received.startswith(b"HTTP/1.1 4")
    assert server.is_alive()


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["text", "text_b", "question", "context", "b64", "token_ids"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    ["sst2", "mnli", "squad_v2", "all", "tokens", "hidden_states", "no"]
)
_BODIES = st.one_of(
    st.binary(max_size=200),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"signature_name": _NAMES | _JSON},
        optional={"instances": _JSON, "inputs": _JSON},
    ).map(lambda value: json.dumps(value).encode()),
    st.builds(
        lambda name, texts: json.dumps(
            {"signature_name": name, "instances": texts}
        ).encode(),
        _NAMES,
        st.lists(st.text(max_size=60), min_size=1, max_size=4),
    ),
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=_BODIES)
def test_any_body_gets_an_answer_or_one_line(server, body):
    status, answer = server.request("POST", PREDICT, body)
    if status == 200:
        assert answer.keys() <= {"predictions", "outputs"}
    else:
        assert status in (400, 413)
        assert answer.keys() == {"error"}
        assert "\n" not in answer["error"]
    assert server.process.poll() is None


def test_nothing_was_logged_of_the_texts(server):
    body = {"signature_name": "sst2", "instances": ["xyzzy"]}
    assert server.request("POST", PREDICT, body)[0] == 200
    assert not any("xyzzy" in line for line in server.log)
    assert "Traceback" not in "".join(server.log)
