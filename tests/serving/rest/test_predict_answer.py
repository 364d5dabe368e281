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


def test_rows_and_columns_with_the_shortest_numbers():
    by_row = format_answer(OUTPUTS, 2, by_row=True)
    assert json.loads(by_row) == {
        "predictions": [
            {"label": "no", "score": 0.1},
            {"label": "j\u00e4", "score": 1e-8},
        ]
    }
    by_column = format_answer(OUTPUTS, 2, by_row=False)
    assert json.loads(by_column) == {
        "outputs": {"label": ["no", "j\u00e4"], "score": [0.1, 1e-8]}
    }


def test_windows_of_a_row_can_only_be_asked_by_columns():
    windows = {"hidden_states": np.zeros((3, 1), np.float32)}
    with pytest.raises(RequestError, match=r"hidden_states.*inputs") as error:
        format_answer(windows, 2, by_row=True)
    assert error.value.status == 400
    found = json.loads(format_answer(windows, 2, by_row=False))
    assert found == {"outputs": [[0.0]] * 3}


def test_number_that_json_lacks_is_the_servers_fault():
    outputs = {"score": np.array([np.nan], np.float32)}
    with pytest.raises(RequestError, match="not finite") as error:
        format_answer(outputs, 1, by_row=True)
    assert error.value.status == 500
