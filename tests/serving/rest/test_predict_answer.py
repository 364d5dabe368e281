"""Outputs as JSON, by rows and by columns."""

import json

import numpy as np
import pytest

from bvkeras.serving.rest.predict_answer import format_answer
from bvkeras.serving.rest.request_error import RequestError

OUTPUTS = {
    "score": np.array([0.1, 1e-8], np.float32),
    "label": np.array([b"no", "j\u00e4".encode()], dtype=object),
}


def formatted(outputs, num_rows, by_row):
    return json.loads(b"".join(format_answer(outputs, num_rows, by_row)))


def test_rows_and_columns_with_the_shortest_numbers():
    assert formatted(OUTPUTS, 2, by_row=True) == {
        "predictions": [
            {"label": "no", "score": 0.1},
            {"label": "j\u00e4", "score": 1e-8},
        ]
    }
    assert formatted(OUTPUTS, 2, by_row=False) == {
        "outputs": {"label": ["no", "j\u00e4"], "score": [0.1, 1e-8]}
    }


def test_windows_of_a_row_can_only_be_asked_by_columns():
    windows = {"hidden_states": np.zeros((3, 1), np.float32)}
    with pytest.raises(RequestError, match=r"hidden_states.*inputs") as error:
        format_answer(windows, 2, by_row=True)
    assert error.value.status == 400
    assert formatted(windows, 2, by_row=False) == {"outputs": [[0.0]] * 3}


@pytest.mark.parametrize("shape", [(3, 5, 2, 700), (3, 9000), (3, 0, 2), (3,)])
def test_many_numbers_read_back_the_same(shape):
    random = np.random.default_rng(0)
    outputs = {
        "states": random.normal(size=shape).astype(np.float32),
        "row": np.arange(3, dtype=np.int32),
    }
    by_column = formatted(outputs, 3, by_row=False)["outputs"]
    by_row = formatted(outputs, 3, by_row=True)["predictions"]
    assert by_column["row"] == [row["row"] for row in by_row] == [0, 1, 2]
    for found in (by_column["states"], [row["states"] for row in by_row]):
        array = np.array(found, np.float32).reshape(shape)
        np.testing.assert_array_equal(array, outputs["states"])


def test_large_answer_comes_in_pieces():
    outputs = {"states": np.ones((4, 100_000), np.float32)}
    pieces = list(format_answer(outputs, 4, by_row=False))
    assert len(pieces) > 1
    assert max(map(len, pieces)) < 1 << 19


def test_number_that_json_lacks_is_the_servers_fault():
    outputs = {"score": np.array([np.nan], np.float32)}
    with pytest.raises(RequestError, match="not finite") as error:
        format_answer(outputs, 1, by_row=True)
    assert error.value.status == 500
