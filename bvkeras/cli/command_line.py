"""The command line that was given, as a report may show it."""

import os
import pathlib
import shlex
from collections.abc import Sequence


def command_line(program: str, arguments: Sequence[str]) -> str:
    """A command with its arguments, quoted as a shell needs it.

    Of an absolute path only the last part is kept: reports are shown to
    others, and the rest tells whose machine it was.

    Args:
        program: str. The name of the command.
        arguments: sequence of str.
    """
    return shlex.join([program, *map(_shown, arguments)])


def _shown(argument: str) -> str:
    option, equals, value = argument.partition("=")
    if equals and option.startswith("-"):
        return f"{option}={_shown(value)}"
    if os.path.isabs(argument):
        return f"…/{pathlib.Path(argument).name}"
    return argument
