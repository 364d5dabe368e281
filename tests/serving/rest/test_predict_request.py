"""The limits of a request, at them and one beyond, without a server."""

import base64
import json
import types

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.predict_request import read_request
from bvkeras.serving.rest.request_error import RequestError
from bvkeras.serving.rest.request_size import RequestSize

LIMITS = Limits(rows=3, text_bytes=4, tokens=12, values=6)
TEXT = tf.TensorSpec([None], tf.string)


def ask(text, rows, key):
    """Reads a request of equal rows, of two tokens and two values each."""
    version = types.SimpleNamespace(
        signatures={
            "serving_default": {"text": tf.TensorSpec([None], "string")}
        },
        counter=types.SimpleNamespace(
            count=lambda name, inputs: RequestSize.of_lengths(
                np.full(len(inputs["text"]), 2)
            )
        ),
        num_values=lambda name, size: size.num_tokens,
    )
    body = json.dumps({key: [text] * rows}).encode()
    return read_request(body, version, LIMITS)


def in_base64(text):
    return {"b64": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize("key", ["instances", "inputs"])
@pytest.mark.parametrize("write", [str, in_base64])
def test_rows_and_bytes_at_their_limits_and_beyond(key, write):
    request = ask(write("aé!"), 3, key)
    assert request.num_rows == 3
    assert set(request.inputs["text"]) == {"aé!".encode()}
    with pytest.raises(RequestError, match="4 rows, expected at most 3"):
        ask(write("aé!"), 4, key)
    with pytest.raises(RequestError, match=r"of row 0 has 5 bytes, .* most 4"):
        ask(write("abé!"), 3, key)
