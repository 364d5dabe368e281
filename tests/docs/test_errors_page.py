"""The page of errors quotes messages that the code really has."""

import ast
import re

import pytest

from tests.docs.pages import ROOT

# What is not ours has more in its cell than the message.
_MESSAGES = re.findall(
    r"^\| `([^`]+)` \|",
    (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
_ANY = "…"


@pytest.fixture(scope="module")
def templates() -> list[str]:
    """Every string in the package; … for what is put into it."""
    found = set()
    for path in (ROOT / "bvkeras").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr | ast.Constant | ast.BinOp):
                found.add(_template(node).strip())
    return sorted(found)


@pytest.mark.parametrize("message", _MESSAGES)
def test_message_is_one_of_the_package(message, templates):
    words = _words(message)
    assert any(
        # A template of … alone would be any message.
        2 * len(words & _words(template)) >= len(words)
        and _meet(message, template)
        for template in templates
    )


def test_another_message_is_not(templates):
    with pytest.raises(AssertionError):
        test_message_is_one_of_the_package(
            "x: expected a book of texts, got one str", templates
        )


def _template(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_template, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return _ANY


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z]+", text))


def _meet(first: str, second: str) -> bool:
    """Whether a text is of both patterns."""
    open_places, seen = [(0, 0)], set()
    while open_places:
        place = open_places.pop()
        if place in seen:
            continue
        seen.add(place)
        i, j = place
        one, other = first[i : i + 1], second[j : j + 1]
        if not one and not other:
            return True
        if one == _ANY:
            open_places += [(i + 1, j)] + [(i, j + 1)] * bool(other)
        if other == _ANY:
            open_places += [(i, j + 1)] + [(i + 1, j)] * bool(one)
        if one == other:
            open_places.append((i + 1, j + 1))
    return False
