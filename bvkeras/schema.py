"""The shape of JSON records, in the words of JSON Schema, and its check.

Stricter than JSON Schema in two things: a number is finite, and what is
written with a point is no integer.
"""

import functools
import sys
from collections.abc import Mapping
from typing import Any

from bvkeras.printable import printable

_SHOWN = 80
_MAX_INTEGER = (1 << 63) - 1

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
OBJECT: Schema = {"type": "object"}
NUMBER: Schema = {"type": "number"}
SECONDS: Schema = {"type": "number", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": _MAX_INTEGER}
POSITIVE: Schema = {**COUNT, "minimum": 1}


def record_of(optional: Mapping[str, Schema] | None = None, **fields: Schema):
    """An object that has some fields, and may have any others.

    Args:
        optional: mapping of name to schema. Fields that may be missing.
        **fields: schemas of those that may not.
    """
    return {
        "type": "object",
        "required": list(fields),
        "properties": {**fields, **(optional or {})},
    }


def table_of(values: Schema) -> Schema:
    """An object with any keys, all of whose values are alike."""
    return {"type": "object", "additionalProperties": values}


def list_of(items: Schema) -> Schema:
    """A list whose items are alike."""
    return {"type": "array", "items": items}


def find_problem(value: Any, schema: Schema) -> str | None:
    """What is wrong with a JSON value, in one line; None if nothing is.

    Args:
        value: JSON value.
        schema: mapping. A JSON Schema.
    """
    error = next(_validator()(schema).iter_errors(value), None)
    if error is None:
        return None
    place = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}"
        for step in error.absolute_path
    ).removeprefix(".")
    what = error.message
    if error.validator == "type":
        kinds = error.validator_value
        kinds = [kinds] if isinstance(kinds, str) else kinds
        what = f"{_short(repr(error.instance))} is no {' or '.join(kinds)}"
    return _short(f"{place}: " if place else "") + _short(what)


@functools.cache
def _validator() -> type:
    # Slow to import, and the command line parses without it.
    import jsonschema

    base = jsonschema.Draft202012Validator
    checker = base.TYPE_CHECKER.redefine_many(
        {
            "number": lambda _, value: _is_finite(value),
            "integer": lambda _, value: type(value) is int,
        }
    )
    return jsonschema.validators.extend(base, type_checker=checker)


def _is_finite(value: Any) -> bool:
    # Also of an integer too large for a float, and not of NaN.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _short(text: str) -> str:
    text = printable(text).replace("\n", "\\n")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
