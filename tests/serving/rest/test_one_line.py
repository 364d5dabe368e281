"""Reasons of a graph, and texts of strangers, on one line."""

import pytest

from bvkeras.serving.rest.one_line import graph_reason, one_line

_PREAMBLE = (
    "Graph execution error:\n\nDetected at node Gather defined at (most recent "
    "call last):\n<stack traces unavailable>\n"
)
_NODE = "\n\t [[{{node Gather}}]] [Op:__inference_signature_wrapper_2583]"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("indices[0,1] = -1 is not in [0, 194)", None),
        ("Incompatible shapes: [1,600,16] vs. [128,16]", None),
        (
            "assertion failed: [question: too long, expected at most 9 word "
            "pieces]",
            "question: too long, expected at most 9 word pieces",
        ),
    ],
)
def test_reason_of_a_graph_is_what_is_kept(reason, expected):
    assert graph_reason(_PREAMBLE + reason + _NODE) == (expected or reason)


def test_line_has_no_breaks_escapes_or_undue_length():
    assert one_line("a\n\tb\x1b[2J\u202ec") == r"a b\x1b[2J\u202ec"
    assert len(one_line("x" * 10_000)) < 1000


def test_nothing_is_lost_where_a_reason_is_all_preamble():
    assert graph_reason("Graph execution error:") == "Graph execution error:"
