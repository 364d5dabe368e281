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
<<<<<<< HEAD
        "cache", help=_CACHE_SUMMARY, description=_CACHE_SUMMARY
    )
    cache_verbs = parser.add_subparsers(dest="cache_verb", required=True)
    for name, function, add_arguments, summary in (
        (
            "info",
            _cache_info,
            _add_cache_argument,
            "what is in a cache, what it was made from, and its size",
        ),
        (
            "serve",
            serving.run_serve,
            serving.add_serve_arguments,
            serving.SERVE_SUMMARY,
        ),
        ("verify", _verify, _add_cache_argument, _VERIFY_SUMMARY),
        (
            "convert",
            _cache_convert,
            _add_cache_convert,
            "write a cache in another type, without the model: int8 from "
            "bfloat16, say; stopped, the same command goes on",
        ),
        (
            "prune",
            _cache_prune,
            _add_cache_prune,
            "remove what killed writers left in a cache's folder: temporary "
            "files, and shards that the manifest does not name. Finished work "
            "stays. With --layers and --output-dir: leave the cache as it is "
            "and write one with fewer layers",
        ),
        (
            "copy",
            _cache_copy,
            _add_cache_copy,
            "copy a cache to a folder or a bucket, the manifest last, or back "
            "from there; stopped, the same command goes on",
        ),
    ):
        _add_verb(cache_verbs, name, function, add_arguments, summary)


def _add_cache_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cache",
        metavar="CACHE",
        help="what extract wrote: a folder, or a path such as gs://…",
    )


def _add_cache_convert(parser: argparse.ArgumentParser) -> None:
    _add_cache_argument(parser)
    _add_output(parser)
    parser.add_argument(
        "--cache-dtype",
        required=True,
        choices=_CACHE_DTYPES,
        help="how hidden states shall be stored",
    )


def _add_cache_prune(parser: argparse.ArgumentParser) -> None:
    _add_cache_argument(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only list what would be removed",
    )
    parser.add_argument(
        "--layers",
        type=_integers,
        help="hidden states the new cache shall have, as 0,3,6",
    )
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        help="where the cache with fewer layers is written",
    )


def _add_cache_copy(parser: argparse.ArgumentParser) -> None:
    _add_cache_argument(parser)
    parser.add_argument(
        "target", metavar="TARGET", help="a folder, or a path such as gs://…"
    )


def _add_verb(verbs, name, function, add_arguments, summary) -> None:
    verb = verbs.add_parser(name, help=summary, description=summary)
    add_arguments(verb)
    _add_debug(verb)
    verb.set_defaults(function=function)


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    del parser


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task", choices=tasks.names(), metavar="TASK", help="such as sst2"
    )


def _add_backbone(
    parser: argparse.ArgumentParser, task: str | None = None
) -> None:
    default = _default_backbone(task) if task else "the task's own"
    parser.add_argument(
        "--backbone",
        help="a keras-hub preset, a directory in Hugging Face's or "
        f"keras-hub's layout, or package:NAME ({default})",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=pathlib.Path,
        help="official files, or a prepared tensorflow_datasets directory "
        "(default: the task's own source)",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="squad_v2: leave malformed questions out, and count them",
    )


def _add_dev_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dev-threshold",
        action="store_true",
        help="squad_v2: choose the threshold of no answer on the very split "
        "that is scored, as the official script's sweep does",
    )


def _add_output(
    parser: argparse.ArgumentParser, default: str | None = None
) -> None:
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        required=default is None,
        help="where everything is written"
        + (f" ({default})" if default else ""),
    )


def _add_finetune_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "fine-tuning", "defaults are the task's, for the encoder's size"
    )
    group.add_argument(
        "--epochs",
        type=_numbers,
        help="stop points in epochs, as 0.5,1,2: a snapshot at each",
    )
    group.add_argument("--learning-rate", type=float, help="highest rate")
    group.add_argument("--batch-size", type=int, help="examples a step")
    group.add_argument("--max-tokens", type=int, help="longer texts are cut")
    group.add_argument(
        "--compute-dtype",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        help="Keras dtype policy (float32)",
    )
    group.add_argument(
        "--freeze-layers",
        type=int,
        metavar="N",
        help="leave the N lowest layers of the encoder as they came (0)",
    )
    group.add_argument(
        "--freeze-embeddings",
        action="store_true",
        default=None,
        help="leave the embeddings as they came",
    )


def _add_head_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "pooled head", "defaults are the task's, for the encoder's size"
    )
    group.add_argument("--units", type=int, help="width of the linear pooling")
    group.add_argument("--head-epochs", type=int, help="epochs")
    group.add_argument("--head-learning-rate", type=float, help="highest rate")
    group.add_argument(
        "--head-projection-rate",
        type=float,
        help="the projection's share of that rate",
    )
    group.add_argument("--head-batch-size", type=int, help="examples a step")
    group.add_argument(
        "--head-dropout", type=float, help="dropout on the pooled features"
    )
    group.add_argument(
        "--pooler",
        choices=("linear", "scalar_mix"),
        help="how layers are combined (linear)",
    )


def _add_seed_and_limit(parser: argparse.ArgumentParser) -> None:
    _add_seed(parser)
    _add_limit(parser)


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, help="seed of everything (0)")


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=int, help="use at most so many training rows"
=======
        verb.name, help=verb.summary, description=verb.summary
    )
    verb.add_arguments(parser)
    _add_debug(parser)
    parser.set_defaults(function=verb.run)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks of errors"
    )
