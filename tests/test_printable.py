"""What comes from outside is shown, and nothing obeys it."""

import ast
import pathlib

import pytest

from bvkeras.printable import one_line, printable, say, spreadsheet_cell

_ROOT = pathlib.Path(__file__).parents[1] / "bvkeras"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb\x07\x9b\x7f", "a\\rb\\x07\\x9b\\x7f"),
        ("left\u202eright\u2066", "left\\u202eright\\u2066"),
        ("end\u2028line", "end\\u2028line"),
        ("half \ud83d", "half \\ud83d"),
        ("two\nlines, Zoë 🎈\u200d", "two\nlines, Zoë 🎈\u200d"),
        (pathlib.Path("a\x1bb"), "a\\x1bb"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text, expected, capsys):
    assert printable(text) == expected
    say(text, end="")
    assert capsys.readouterr().out == expected


def test_one_line_of_an_error():
    assert one_line(ValueError("\n a\x1b\nb")) == "a\\x1b"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_formula_is_a_text(sign):
    text = f"{sign}cmd|'/c calc'!A0"
    assert spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "cell", ["-0.5", "+1e3", "-", "x=1", "", -0.5, None, "-inf"]
)
def test_number_and_plain_text_stay(cell):
    assert spreadsheet_cell(cell) == cell


def test_nothing_else_prints():
    """The server alone prints a line of its own making."""
    printing = {
        path.relative_to(_ROOT).as_posix()
        for path in _ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    }
    assert printing <= {"printable.py", "serving/rest/server.py"}
