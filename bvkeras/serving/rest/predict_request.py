"""The body of a `:predict` request, read and checked."""

import base64
import binascii
import dataclasses
import json
import math
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.request_error import RequestError
from bvkeras.serving.rest.request_size import RequestSize

_DEFAULT_SIGNATURE = "serving_default"
_MOST_SHOWN = 80


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """What a client asks of a signature.

    Attributes:
        signature: str. Name of the signature.
        inputs: dict of name to numpy array; strings are bytes in an array of
            objects.
        num_rows: int. Length of each input.
        by_row: bool. Whether inputs came, and outputs go, as a list of rows
            (`instances`), not as a dict of columns (`inputs`).
        size: RequestSize. Tokens of each row.
        num_values: int. Numbers and texts its answer will hold.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    num_rows: int
    by_row: bool
    size: RequestSize
    num_values: int = 0


def read_request(
    body: bytes, version: LoadedVersion, limits: Limits
) -> PredictRequest:
    """Reads the JSON of TensorFlow Serving's predict API.

    Other keys beside these are passed over, and so are inputs the signature
    has not where they come by columns, as TensorFlow Serving does it.

    Args:
        body: bytes. `{"signature_name": …, "instances": …}`, or `"inputs"`
            in place of `"instances"`.
        version: LoadedVersion that is asked.
        limits: Limits.

    Raises:
        RequestError: it is not that, its inputs are not the signature's, or
            they are beyond the limits.
    """
    content = _parsed(body)
    if not isinstance(content, dict):
        raise _bad(f"the body: received {_shown(content)}, expected an object")
    signatures = version.signatures
    name = content.get("signature_name", "")
    if name == "":
        name = _DEFAULT_SIGNATURE
    if not isinstance(name, str) or name not in signatures:
        raise _bad(
            f"signature_name: received {_shown(name)}, expected one of "
            f"{', '.join(sorted(signatures))}"
        )
    if ("instances" in content) == ("inputs" in content):
        raise _bad("the body: expected either instances or inputs")
    specs = signatures[name]
    by_row = "instances" in content
    if by_row:
        columns = _columns_of_rows(content["instances"], specs, limits)
    else:
        columns = _columns(content["inputs"], specs)
    inputs = {
        key: _array(columns[key], spec, key, limits)
        for key, spec in specs.items()
    }
    counts = {key: len(array) for key, array in inputs.items()}
    if len(set(counts.values())) > 1:
        raise _bad(f"inputs: expected as many of each, received {counts}")
    num_rows = next(iter(counts.values()))
    size = version.counter.count(name, inputs)
    _check_tokens(size.num_tokens, limits)
    num_values = version.num_values(name, size)
    if num_values > limits.values:
        raise _bad(
            f"the answer would hold {num_values} values, expected at most "
            f"{limits.values} (--max-values)"
        )
    return PredictRequest(name, inputs, num_rows, by_row, size, num_values)


def _check_rows(num_rows: int, limits: Limits) -> None:
    if num_rows > limits.rows:
        raise _bad(
            f"{num_rows} rows, expected at most {limits.rows} (--max-rows)"
        )


def _check_tokens(num_tokens: int, limits: Limits) -> None:
    if num_tokens > limits.tokens:
        raise _bad(
            f"{num_tokens} tokens, padding counted, expected at most "
            f"{limits.tokens} (--max-tokens)"
        )


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(
            f"the body: byte {error.start} is not UTF-8: {error.reason}"
        ) from None
    try:
        return json.loads(text)
    except RecursionError:
        raise _bad("the body is nested too deeply") from None
    except ValueError as error:
        raise _bad(f"the body is no JSON: {error}") from None


def _columns_of_rows(rows, specs, limits) -> dict[str, list]:
    if not isinstance(rows, list) or not rows:
        raise _bad(
            f"instances: received {_shown(rows)}, expected a list of at "
            "least one row"
        )
    _check_rows(len(rows), limits)
    if len(specs) == 1 and not any(map(_is_named, rows)):
        return {next(iter(specs)): rows}
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _bad(
                f"instances[{place}]: received {_shown(row)}, expected an "
                f"object of {', '.join(specs)}"
            )
        _check_names(row, specs, f"instances[{place}]")
    return {key: [row[key] for row in rows] for key in specs}


def _columns(inputs, specs) -> dict[str, Any]:
    if _is_named(inputs):
        missing = [name for name in specs if name not in inputs]
        if missing:
            raise _bad(
                f"inputs: received {_shown(sorted(inputs))}, expected "
                f"{', '.join(specs)}: {missing[0]} is missing"
            )
        return inputs
    if len(specs) > 1:
        raise _bad(
            f"inputs: received {_shown(inputs)}, expected an object of "
            f"{', '.join(specs)}"
        )
    return {next(iter(specs)): inputs}


def _is_named(value) -> bool:
    """Whether a value is an object, and not one that stands for bytes."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _check_names(received, specs, where) -> None:
    if received.keys() != specs.keys():
        raise _bad(
            f"{where}: received {_shown(sorted(received))}, expected "
            f"{', '.join(specs)}"
        )


def _array(value, spec: tf.TensorSpec, name: str, limits: Limits):
    """A nested list as an array of an input's type and shape."""
    if spec.shape.rank is None:
        raise _bad(f"{name} has no fixed rank and cannot be sent as JSON")
    shape, level = [], [value]
    for axis, expected in enumerate(spec.shape):
        for item in level:
            if not isinstance(item, list):
                raise _bad(
                    f"{name}: received {_shown(item)}, expected a list at "
                    f"depth {axis}"
                )
        sizes = {len(item) for item in level}
        if len(sizes) > 1:
            raise _bad(f"{name}: lists at depth {axis} differ in length")
        size = sizes.pop()
        if size == 0 or expected not in (None, size):
            raise _bad(
                f"{name}: received {size} at depth {axis}, expected "
                f"{expected or 'at least 1'}"
            )
        shape.append(size)
        level = [item for items in level for item in items]
    if not shape:
        raise _bad(f"{name} has no rows and cannot be sent as JSON")
    per_row = len(level) // shape[0]
    _check_rows(shape[0], limits)
    if spec.dtype.is_integer:
        # Before each of them is looked at.
        _check_tokens(math.prod(shape), limits)
        if _are_integers(level, spec.dtype):
            array = np.array(level, spec.dtype.as_numpy_dtype)
            return array.reshape(shape)
    array = np.empty(len(level), spec.dtype.as_numpy_dtype)
    for place, item in enumerate(level):
        where = f"{name} of row {place // per_row}"
        array[place] = _element(item, spec.dtype, where, limits)
    return array.reshape(shape)


def _are_integers(level: list, dtype: tf.DType) -> bool:
    """Whether all of many values fit, without a look at each by itself."""
    return (
        set(map(type, level)) == {int}
        and dtype.min <= min(level)
        and max(level) <= dtype.max
    )


def _element(item, dtype: tf.DType, where: str, limits: Limits):
    if dtype == tf.string:
        return _text(item, where, limits)
    is_number = isinstance(item, int | float) and not isinstance(item, bool)
    if dtype.is_integer:
        if not is_number or isinstance(item, float):
            raise _bad(f"{where}: received {_shown(item)}, expected an integer")
        if not dtype.min <= item <= dtype.max:
            raise _bad(
                f"{where}: received {_shown(item)}, expected {dtype.name}"
            )
        return item
    if dtype.is_floating:
        if not is_number or not abs(item) <= dtype.max:
            raise _bad(f"{where}: received {_shown(item)}, expected a number")
        return item
    if dtype == tf.bool and isinstance(item, bool):
        return item
    raise _bad(f"{where}: received {_shown(item)}, expected {dtype.name}")


def _text(item, where: str, limits: Limits) -> bytes:
    if isinstance(item, dict) and item.keys() == {"b64"}:
        item = _decoded(item["b64"], where)
    elif isinstance(item, str):
        try:
            item = item.encode("utf-8")
        except UnicodeEncodeError:
            raise _bad(f"{where} has half of a surrogate pair") from None
    else:
        raise _bad(f"{where}: received {_shown(item)}, expected a text")
    if len(item) > limits.text_bytes:
        raise _bad(
            f"{where} has {len(item)} bytes, expected at most "
            f"{limits.text_bytes} (--max-text-bytes)"
        )
    if b"\0" in item:
        raise _bad(f"{where} has a null character")
    try:
        blank = not item.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise _bad(f"{where} is not UTF-8") from None
    if blank:
        raise _bad(f"{where} is empty")
    return item


def _decoded(value, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _bad(
            f"{where}: received b64 of {_shown(value)}, expected Base64"
        ) from None


def _shown(value) -> str:
    """A value a client sent, short and on one line."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "something nested deeply"
    if len(text) > _MOST_SHOWN:
        text = f"{text[:_MOST_SHOWN]}…"
    return text


def _bad(message: str) -> RequestError:
    return RequestError(400, message)
