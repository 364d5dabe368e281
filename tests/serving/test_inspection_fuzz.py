"""Exports with something changed at random: refused in one line, or the same.

Bytes are changed with the fingerprint left as it was; fields of the graph as
if somebody had written another, which the test leaves out.
"""

import collections
import json
import random
import shutil

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from bvkeras.errors import BvkerasError
from bvkeras.serving import inspect, inspection
from tests.serving.conftest import contents

_BYTES = {
    "saved_model.pb": 60,
    "fingerprint.pb": 20,
    "variables/variables.index": 40,
    "assets.extra/bvkeras.json": 30,
    "assets.extra/vocabulary.json": 20,
    "assets.extra/tf_serving_warmup_requests": 10,
}
_NUM_FIELDS = 40


@pytest.fixture
def version(exported, tmp_path):
    return shutil.copytree(exported.first, tmp_path / "1")


@pytest.mark.parametrize("name", _BYTES)
def test_bytes(name, version):
    path = version / name
    whole = path.read_bytes()
    chance = random.Random(name)
    for _ in range(_BYTES[name]):
        path.write_bytes(_changed_bytes(whole, chance))
        if _is_let_through(version):
            _check_same(name, whole, path.read_bytes())
    path.write_bytes(whole)
    assert _is_let_through(version)


def test_fields(version, monkeypatch):
    monkeypatch.setattr(inspection, "check_fingerprint", lambda version: None)
    path = version / "saved_model.pb"
    whole = path.read_bytes()
    expected = _places(saved_model_pb2.SavedModel.FromString(whole))
    chance = random.Random(0)
    num_refused = 0
    for _ in range(_NUM_FIELDS):
        saved_model = saved_model_pb2.SavedModel.FromString(whole)
        change_field(saved_model, chance)
        path.write_bytes(saved_model.SerializeToString())
        if _is_let_through(version):
            # Other numbers, names and shapes; the same operations.
            assert _places(saved_model) == expected
        else:
            num_refused += 1
    assert num_refused > _NUM_FIELDS // 10
    others = contents(version)
    assert others.keys() == set(_BYTES) | {
        "variables/variables.data-00000-of-00001"
    }


def _is_let_through(version) -> bool:
    """Whether nothing is unusual; what is must be lines."""
    try:
        unusual = inspect(version).unusual
    except BvkerasError as error:
        unusual = [str(error)]
    assert not any("\n" in line for line in unusual)
    return not unusual


def _check_same(name, whole, found) -> None:
    if name == "saved_model.pb":
        assert saved_model_pb2.SavedModel.FromString(
            found
        ) == saved_model_pb2.SavedModel.FromString(whole)
    elif name.endswith(".json"):
        # Names and digests can be others; what things are cannot.
        assert _kinds(json.loads(found)) == _kinds(json.loads(whole))
    elif name != "fingerprint.pb":
        # A fingerprint also has a number that says nothing of the export.
        assert found == whole


def _kinds(value):
    if isinstance(value, dict):
        return sorted((str(type(v)), str(_kinds(v))) for v in value.values())
    if isinstance(value, list):
        return [_kinds(part) for part in value]
    return type(value).__name__


def _changed_bytes(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    length = chance.choice((1, 1, 1, 4, 50))
    return chance.choice(
        (
            data[:place] + chance.randbytes(length) + data[place + length :],
            data[:place] + data[place + length :],
            data[:place] + chance.randbytes(length) + data[place:],
            data[:place],
            data[:place] + data[place : place + length] * 2 + data[place:],
        )
    )


def change_field(message, chance: random.Random) -> None:
    """Changes one field somewhere within a message, whatever it is."""
    while True:
        fields = [f for f in message.ListFields() if f[1] is not None]
        if not fields:
            return
        field, value = chance.choice(fields)
        inner = _messages(field, value)
        if inner and chance.random() < 0.95:
            message = chance.choice(inner)
            continue
        if field.message_type is not None or chance.random() < 0.2:
            if inner and field.is_repeated and hasattr(value, "add"):
                if chance.random() < 0.5:
                    value.add().CopyFrom(chance.choice(inner))
                else:
                    del value[chance.randrange(len(value))]
                return
            message.ClearField(field.name)
            return
        new = _other_value(field, value, chance)
        if not field.is_repeated:
            setattr(message, field.name, new)
        elif hasattr(value, "extend"):
            value[chance.randrange(len(value))] = new
        return


def _messages(field, value) -> list:
    if field.message_type is None:
        return []
    if not field.is_repeated:
        return [value]
    if field.message_type.GetOptions().map_entry:
        parts = list(value.values())
        return parts if parts and hasattr(parts[0], "ListFields") else []
    return list(value)


def _other_value(field, value, chance):
    if field.is_repeated:
        value = value[0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return chance.choice(("", "x", value + "x", "SaveV2", "../" * 9))
    if isinstance(value, bytes):
        return chance.choice((b"", b"\xff" * 9, value + b"x", value[:-1]))
    if isinstance(value, float):
        return chance.choice((0.0, -1.0, 1e30))
    return chance.choice((0, 1, 2, 3, 4, 7, 20, (1 << 31) - 1))


def _places(saved_model) -> dict:
    """How often each operation stands where."""
    graph = saved_model.meta_graphs[0].graph_def
    return {
        "": collections.Counter(node.op for node in graph.node),
        **{
            place: collections.Counter(node.op for node in function.node_def)
            for place, function in enumerate(graph.library.function)
        },
    }
