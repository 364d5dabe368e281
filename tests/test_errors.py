"""A message stays one line that can be read, whatever it quotes."""

import copy

import pytest

from bvkeras.errors import ArgumentError, BvkerasError, DataError


@pytest.mark.parametrize("length", [0, 1, 800])
def test_message_is_kept(length):
    assert str(DataError("x" * length)) == "x" * length


def test_long_value_is_cut_in_the_middle():
    error = DataError(f"a.json: got {'9' * 5_000}, expected a name")
    assert len(str(error)) < 850
    assert str(error).startswith("a.json: got 999")
    assert str(error).endswith("999, expected a name")
    assert "… (4,229 characters more) …" in str(error)


# As where it comes out of another process.
def test_error_can_be_made_again():
    error = copy.copy(ArgumentError("units: 0"))
    assert isinstance(error, BvkerasError)
    assert str(error) == "units: 0"
