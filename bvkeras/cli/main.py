"""The `bvkeras` command, and what every recipe script calls."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from bvkeras import tasks
from bvkeras.cli import (
    cache,
    compare,
    describe,
    doctor,
    errors,
    evaluate,
    export,
    extract,
    finetune,
    inspect,
    predict,
    report,
    run,
    serve,
    train,
    tune,
    verify,
)
from bvkeras.cli import paper_tables as paper
from bvkeras.cli.cache import convert, copy, import_, info, prune
from bvkeras.cli.command_line import command_line
from bvkeras.cli.parser import Parser
from bvkeras.cli.quiet import quiet_tensorflow
from bvkeras.errors import BackendError, BvkerasError
from bvkeras.printable import printable, say

# Each module is a verb, and has its name.
_VERBS = (
    run,
    describe,
    finetune,
    extract,
    train,
    evaluate,
    errors,
    tune,
    report,
    compare,
    predict,
    export,
    inspect,
    serve,
    verify,
    doctor,
)
_CACHE_VERBS = (info, verify, convert, prune, copy, import_)

_INTERRUPTED = 130
_TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. 0; 1 for an error a message names; 130 or 143 when stopped.
    """
    options = _parsed(make_parser(), arguments)
    return _guarded(options.function, options)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the `bvkeras` command; parsing imports no TensorFlow."""
    parser = Parser(
        prog="bvkeras",
        description="BERT's hidden states as a cheap, reusable feature engine.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in _VERBS:
        _add_verb(verbs, verb)
    of_caches = verbs.add_parser(
        "cache", help=cache.SUMMARY, description=cache.SUMMARY
    )
    cache_verbs = of_caches.add_subparsers(dest="cache_verb", required=True)
    for verb in _CACHE_VERBS:
        _add_verb(cache_verbs, verb)
    return parser


def recipe(task: str, arguments: Sequence[str] | None = None) -> int:
    """Runs one task's recipe with the command line's options.

    Args:
        task: str. The task's name.
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    spec = tasks.get(task)
    parser = Parser(
        description=f"{spec.title}: fine-tune, extract, train heads, compare."
    )
    run.add_recipe_arguments(parser, task)
    parser.set_defaults(task=spec)
    return script(parser, run.run, arguments)


def paper_tables(arguments: Sequence[str] | None = None) -> int:
    """Runs `recipes/paper_tables.py` with the command line's options.

    Args:
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    parser = Parser(description=paper.SUMMARY)
    paper.add_arguments(parser)
    return script(parser, paper.run, arguments)


def script(
    parser: argparse.ArgumentParser,
    function: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs a script as a verb of the command: its errors are one line.

    Args:
        parser: argparse.ArgumentParser. Gets the option `--debug`.
        function: callable. Does the work, given the parsed options.
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    _add_debug(parser)
    return _guarded(function, _parsed(parser, arguments))


def _parsed(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """The options, with `arguments`, and as `command` the line for reports."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(arguments)
    options.arguments = list(arguments)
    options.command = command_line(parser.prog, arguments)
    return options


def _guarded(
    function: Callable[[argparse.Namespace], None], options: argparse.Namespace
) -> int:
    """Runs a verb; failures become one line and an exit status."""
    if not options.debug:
        quiet_tensorflow()
    earlier = signal.signal(signal.SIGTERM, _terminate)
    try:
        _check_backend()
        function(options)
    except (KeyboardInterrupt, _Terminated) as stop:
        say("stopped; the same command goes on from here", file=sys.stderr)
        return _TERMINATED if isinstance(stop, _Terminated) else _INTERRUPTED
    except (BvkerasError, OSError) as error:
        if options.debug:
            raise
        text = printable(f"error: {error}").replace("\n", "\\n")
        say(text, file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, earlier)
    return 0


def _check_backend() -> None:
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise BackendError(
            f"KERAS_BACKEND: expected tensorflow or nothing, got {backend!r}"
        )


class _Terminated(BaseException):
    """SIGTERM came; no `except Exception` on the way catches it."""


def _terminate(signum, frame):
    raise _Terminated


def _add_verb(verbs, verb: ModuleType) -> None:
    parser = verbs.add_parser(
        # `import` itself is no name of a module.
        verb.__name__.rpartition(".")[2].rstrip("_"),
        help=verb.SUMMARY,
        description=verb.SUMMARY,
    )
    verb.add_arguments(parser)
    _add_debug(parser)
    parser.set_defaults(function=verb.run)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show tracebacks of errors, and TensorFlow's notices",
    )
