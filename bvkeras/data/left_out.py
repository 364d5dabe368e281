"""The list of what was malformed in a source and left out."""

import os
import pathlib

from bvkeras import fileio
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples


def write_left_out(
    examples: Examples | SpanExamples, directory: str | os.PathLike
) -> pathlib.Path | None:
    """Writes what was left out of a split, one line each, atomically.

    Args:
        examples: Examples, or SpanExamples of a span task.
        directory: str or path. Gets `left_out_<split>.txt`.

    Returns:
        path of the file; None where nothing was left out.

    Raises:
        OSError: the file cannot be written.
    """
    problems = getattr(examples, "left_out", ())
    if not problems:
        return None
    path = pathlib.Path(directory) / f"left_out_{examples.split}.txt"
    lines = (" ".join(problem.split()) for problem in problems)
    fileio.write_text(path, "".join(f"{line}\n" for line in lines))
    return path
