"""A signature's outputs as the JSON of TensorFlow Serving's predict API."""

import json
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from bvkeras.serving.rest.request_error import RequestError

# Made into text at a time: a few milliseconds in which nothing else of Python
# runs, and less than a megabyte.
_VALUES_AT_ONCE = 8192
_PIECE_BYTES = 1 << 18
# With more numbers than this in an output, each has nine digits: every float32
# reads back the same, and to find the fewest that do takes three times as long.
_MOST_SHORT = 4096


def format_answer(
    outputs: Mapping[str, np.ndarray], num_rows: int, by_row: bool
) -> Iterator[bytes]:
    """The body of a response, in pieces.

    Args:
        outputs: dict of name to array; strings are bytes. Or to a list of
            arrays, one a row, which need not be equally long.
        num_rows: int. Rows of the request.
        by_row: bool. `{"predictions": [row, …]}`, else `{"outputs": …}`. A
            single output stands without its name.

    Raises:
        RequestError: rows are asked for, and an output has not one for each
            row of the request; or a number is not finite. Before the first
            piece.
    """
    ordered = {}
    for name, array in sorted(outputs.items()):
        if isinstance(array, list):
            if not all(map(_is_finite, array)):
                raise RequestError(500, "an answer is not finite")
            ordered[name] = array
            continue
        if by_row and (array.ndim == 0 or len(array) != num_rows):
            raise RequestError(
                400,
                f"{name} has shape {list(array.shape)}, not a value for "
                "each instance: send inputs in place of instances",
            )
        if array.dtype.kind == "V":
            # bfloat16, which NumPy has not.
            array = array.astype(np.float32)
        if not _is_finite(array):
            raise RequestError(500, "an answer is not finite")
        ordered[name] = array
    texts = _rows(ordered, num_rows) if by_row else _columns(ordered)
    return _joined(texts)


def _joined(texts: Iterator[str]) -> Iterator[bytes]:
    """The same, in pieces of some size."""
    piece = bytearray()
    for text in texts:
        piece += text.encode("ascii")
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _rows(outputs, num_rows) -> Iterator[str]:
    yield '{"predictions":['
    short = {name: _is_short(array) for name, array in outputs.items()}
    for row in range(num_rows):
        if row:
            yield ","
        values = {
            name: _nested(_row(array, row), short[name])
            for name, array in outputs.items()
        }
        yield from _named(values)
    yield "]}"


def _columns(outputs) -> Iterator[str]:
    yield '{"outputs":'
    yield from _named(
        {
            name: _listed(array)
            if isinstance(array, list)
            else _nested(array, _is_short(array))
            for name, array in outputs.items()
        }
    )
    yield "}"


def _named(values: Mapping[str, Iterator[str]]) -> Iterator[str]:
    if len(values) == 1:
        yield from next(iter(values.values()))
        return
    for place, (name, texts) in enumerate(values.items()):
        yield f"{',' if place else '{'}{json.dumps(name)}:"
        yield from texts
    yield "}"


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _row(array: np.ndarray | list[np.ndarray], row: int) -> np.ndarray:
    if isinstance(array, list):
        return array[row]
    return np.asarray(array[row], array.dtype)


def _is_short(array: np.ndarray | list[np.ndarray]) -> bool:
    if isinstance(array, list):
        return sum(row.size for row in array) <= _MOST_SHORT
    return array.size <= _MOST_SHORT


def _listed(rows: list[np.ndarray]) -> Iterator[str]:
    """Rows of different lengths as a list of lists."""
    short = _is_short(rows)
    yield "["
    for place, row in enumerate(rows):
        if place:
            yield ","
        yield from _nested(row, short)
    yield "]"


def _nested(array: np.ndarray, short: bool) -> Iterator[str]:
    """An array as nested lists, a part at a time."""
    if array.size <= _VALUES_AT_ONCE:
        yield _text(array, short)
        return
    parts: Iterable[np.ndarray] = array
    if array.ndim == 1:
        parts = np.split(
            array, range(_VALUES_AT_ONCE, len(array), _VALUES_AT_ONCE)
        )
    yield "["
    for place, part in enumerate(parts):
        if place:
            yield ","
        if array.ndim == 1:
            yield _text(part, short)[1:-1]
        else:
            yield from _nested(part, short)
    yield "]"


def _text(array: np.ndarray, short: bool) -> str:
    """A small array as nested lists."""
    if array.size == 0:
        return json.dumps(array.tolist())
    texts = _values(array.ravel(), short)
    for size in reversed(array.shape):
        texts = [
            f"[{','.join(texts[start : start + size])}]"
            for start in range(0, len(texts), size)
        ]
    return texts[0]


def _values(flat: np.ndarray, short: bool) -> list[str]:
    if flat.dtype == object:
        return [json.dumps(v.decode("utf-8", "replace")) for v in flat]
    if flat.dtype == np.float32:
        if short:
            # The shortest number that reads back the same.
            return flat.astype("U").tolist()
        every = ",".join(["%.9g"] * len(flat)) % tuple(flat.tolist())
        return every.split(",")
    return [json.dumps(value) for value in flat.tolist()]
