"""The `bvkeras` command, and what every recipe script calls."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bvkeras import paper_runs, tasks
from bvkeras.commands import (
    cache,
    doctor,
    errors,
    evaluate,
    extract,
    finetune,
    run,
    train,
)
from bvkeras.errors import BvkerasError
from bvkeras.reports import command as reports
from bvkeras.serving import command as serving
from bvkeras.tuning import command as tuning


class _Verb(NamedTuple):
    """What the parser says of a verb, what it takes, and what it does."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


_VERBS = (
    _Verb("run", run.SUMMARY, run.add_arguments, run.run),
    _Verb("finetune", finetune.SUMMARY, finetune.add_arguments, finetune.run),
    _Verb("extract", extract.SUMMARY, extract.add_arguments, extract.run),
    _Verb("train", train.SUMMARY, train.add_arguments, train.run),
    _Verb("evaluate", evaluate.SUMMARY, evaluate.add_arguments, evaluate.run),
    _Verb("errors", errors.SUMMARY, errors.add_arguments, errors.run),
    _Verb("tune", tuning.SUMMARY, tuning.add_arguments, tuning.run),
    _Verb(
        "report",
        reports.REPORT_SUMMARY,
        reports.add_report_arguments,
        reports.run_report,
    ),
    _Verb(
        "compare",
        reports.COMPARE_SUMMARY,
        reports.add_compare_arguments,
        reports.run_compare,
    ),
    _Verb(
        "export",
        serving.EXPORT_SUMMARY,
        serving.add_export_arguments,
        serving.run_export,
    ),
    _Verb(
        "inspect",
        serving.INSPECT_SUMMARY,
        serving.add_inspect_arguments,
        serving.run_inspect,
    ),
    _Verb(
        "serve",
        serving.SERVE_SUMMARY,
        serving.add_serve_arguments,
        serving.run_serve,
    ),
    _Verb(
        "verify",
        cache.VERIFY_SUMMARY,
        cache.add_cache_argument,
        cache.run_verify,
    ),
    _Verb("doctor", doctor.SUMMARY, doctor.add_arguments, doctor.run),
)
_CACHE_VERBS = (
    _Verb("info", cache.INFO_SUMMARY, cache.add_cache_argument, cache.run_info),
    _Verb(
        "verify",
        cache.VERIFY_SUMMARY,
        cache.add_cache_argument,
        cache.run_verify,
    ),
    _Verb(
        "convert",
        cache.CONVERT_SUMMARY,
        cache.add_convert_arguments,
        cache.run_convert,
    ),
    _Verb(
        "prune", cache.PRUNE_SUMMARY, cache.add_prune_arguments, cache.run_prune
    ),
    _Verb("copy", cache.COPY_SUMMARY, cache.add_copy_arguments, cache.run_copy),
)

_INTERRUPTED = 130
_TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. 0; 1 for an error a message names; 130 or 143 when stopped.
    """
    parser = argparse.ArgumentParser(
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
    options = parser.parse_args(arguments)
    return _guarded(options.function, options)


def recipe(task: str, arguments: Sequence[str] | None = None) -> int:
    """Runs one task's recipe with the command line's options.

    Args:
        task: str. The task's name.
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    spec = tasks.get(task)
    parser = argparse.ArgumentParser(
        description=f"{spec.title}: fine-tune, extract, train heads, compare."
    )
    run.add_recipe_arguments(parser, task)
    parser.set_defaults(task=task)
    return script(parser, run.run, arguments)


def paper_tables(arguments: Sequence[str] | None = None) -> int:
    """Runs `recipes/paper_tables.py` with the command line's options.

    Args:
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    parser = argparse.ArgumentParser(description=paper_runs.SUMMARY)
    paper_runs.add_arguments(parser)
    return script(parser, paper_runs.make_paper_runs, arguments)


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
    return _guarded(function, parser.parse_args(arguments))


def _guarded(
    function: Callable[[argparse.Namespace], None], options: argparse.Namespace
) -> int:
    """Runs a verb; failures become one line and an exit status."""
    earlier = signal.signal(signal.SIGTERM, _terminate)
    try:
        function(options)
    except (KeyboardInterrupt, _Terminated) as stop:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return _TERMINATED if isinstance(stop, _Terminated) else _INTERRUPTED
    except (BvkerasError, OSError) as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, earlier)
    return 0


class _Terminated(BaseException):
    """SIGTERM came; no `except Exception` on the way catches it."""


def _terminate(signum, frame):
    raise _Terminated


def _add_verb(verbs, verb: _Verb) -> None:
    parser = verbs.add_parser(
        verb.name, help=verb.summary, description=verb.summary
    )
    verb.add_arguments(parser)
    _add_debug(parser)
    parser.set_defaults(function=verb.run)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks of errors"
    )
