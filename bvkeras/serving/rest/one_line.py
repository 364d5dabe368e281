"""Texts of others, fit for one line of a log or an answer."""

import re

_MOST_CHARACTERS = 500
# TensorFlow puts where it happened around what happened.
_PREAMBLE = re.compile(
    r"\AGraph execution error:\s*|^Detected at node.*\n?|^<stack traces.*\n?",
    re.MULTILINE,
)
_NODE = re.compile(r"\[\[\{\{.*|\[Op:\w+\].*", re.DOTALL)
_ASSERTION = re.compile(r"assertion failed: \[(.*)\]", re.DOTALL)


def one_line(text: object) -> str:
    """A text without line breaks, terminal escapes or undue length.

    Args:
        text: object. A str, or what is made one, as an error.
    """
    line = " ".join(str(text).split())
    if len(line) > _MOST_CHARACTERS:
        line = f"{line[:_MOST_CHARACTERS]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def graph_reason(message: str) -> str:
    """What a graph has against its inputs, of an error of TensorFlow.

    Args:
        message: str. `tf.errors.OpError.message`: a preamble, the reason,
            and the node it is of.
    """
    reason = _NODE.sub("", _PREAMBLE.sub("", message)).strip()
    asserted = _ASSERTION.fullmatch(reason)
    return one_line((asserted[1] if asserted else reason) or message)
