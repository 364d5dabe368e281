"""A signature's outputs as the JSON of TensorFlow Serving's predict API."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bvkeras.serving.rest.request_error import RequestError


def format_answer(
    outputs: Mapping[str, np.ndarray], num_rows: int, by_row: bool
) -> bytes:
    """The body of a response.

    Args:
        outputs: dict of name to array; strings are bytes.
        num_rows: int. Rows of the request.
        by_row: bool. `{"predictions": [row, …]}`, else `{"outputs": …}`. A
            single output stands without its name.

    Raises:
        RequestError: rows are asked for, and an output has not one for each
            row of the request; or a number is not finite.
    """
    if by_row:
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != num_rows:
                raise RequestError(
                    400,
                    f"{name} has shape {list(array.shape)}, not a value for "
                    "each instance: send inputs in place of instances",
                )
    columns = {name: _plain(outputs[name]) for name in sorted(outputs)}
    single = next(iter(columns)) if len(columns) == 1 else None
    content: Any
    if by_row:
        rows = zip(*columns.values(), strict=True)
        content = {
            "predictions": columns[single]
            if single is not None
            else [dict(zip(columns, row, strict=True)) for row in rows]
        }
    else:
        content = {
            "outputs": columns if single is None else columns[single],
        }
    try:
        return json.dumps(content, allow_nan=False).encode("ascii")
    except ValueError:
        raise RequestError(500, "an answer is not finite") from None


def _plain(array: np.ndarray) -> Any:
    """An array as nested lists of what JSON has."""
    if array.dtype == object:
        flat = [value.decode("utf-8", "replace") for value in array.flat]
        array = np.array(flat, dtype=object).reshape(array.shape)
    elif array.dtype == np.float32:
        # By way of its text: the shortest number that reads back the same.
        array = array.astype("U").astype(np.float64)
    return array.tolist()
