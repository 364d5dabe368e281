"""`bvkeras tune`: its options, and what it does with them."""

import argparse
import dataclasses
import pathlib
from typing import Any

from bvkeras import tasks
from bvkeras.cli import options as shared
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

SUMMARY = (
    "search for the settings of a head, or of fine-tuning an encoder; stopped, "
    "the same command goes on"
)

_ORACLES = ("random", "bayesian", "hyperband", "grid")
_SET_HELP = (
    "a setting of the space: one value, some (8,16,32), a range (0.0:0.5), or "
    "one whose logarithm is uniform (1e-5:1e-2:log); may be given again"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras tune`."""
    shared.add_task(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--cache",
        type=pathlib.Path,
        help="search for a head, on what extract wrote of the training split",
    )
    what.add_argument(
        "--encoder",
        metavar="BACKBONE",
        help="search for the settings of fine-tuning this encoder: "
        f"{shared.ENCODERS}",
    )
    shared.add_output(parser)
    parser.add_argument(
        "--trials", type=int, default=100, help="how many to try (100)"
    )
    parser.add_argument(
        "--space",
        choices=("default", "paper"),
        default="default",
        help="ours, or the smaller one of the paper (default)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help=_SET_HELP,
    )
    parser.add_argument(
        "--oracle",
        choices=_ORACLES,
        default="random",
        help="what chooses the next trials (random)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the oracle (0)"
    )
    parser.add_argument(
        "--held-out",
        type=float,
        default=0.2,
        help="part of the training rows that chooses the best (0.2)",
    )
    heads = parser.add_argument_group("search for a head")
    heads.add_argument(
        "--evaluation-cache",
        type=pathlib.Path,
        action="append",
        default=[],
        help="hidden states of another split: the best head is scored on them",
    )
    heads.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes that run trials; for several machines see "
        "docs/tuning.md (1)",
    )
    heads.add_argument(
        "--patience",
        type=int,
        help="end a trial after so many passes without a better score",
    )
    heads.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="type the hidden states are read in (the stored one)",
    )
    add_finalist_arguments(heads)
    encoders = parser.add_argument_group("search for an encoder")
    encoders.add_argument(
        "--data-dir", type=pathlib.Path, help="as of `bvkeras finetune`"
    )
    shared.add_limit(encoders)
    encoders.add_argument(
        "--rows-share",
        type=float,
        help="part of the training rows to search on (a tenth for the big "
        "tasks, all for the others)",
    )
    encoders.add_argument("--max-tokens", type=int, help="longer texts are cut")
    shared.add_dropout(encoders)
    shared.add_sentence_pooling(encoders)
    shared.add_pairs(encoders)
    encoders.add_argument(
        "--retrain",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fine-tune with the best settings on all training rows",
    )


def add_finalist_arguments(parser: argparse._ActionsContainer) -> None:
    """Adds the options of the final round of a search for a head."""
    parser.add_argument(
        "--finalists",
        type=int,
        metavar="K",
        help="best trials that go into a final round with the task's default "
        "settings and the paper's; 0 for no such round (5)",
    )
    parser.add_argument(
        "--finalist-seeds",
        type=int,
        metavar="S",
        help="trainings of each finalist, with a seed and held-out rows of "
        "their own (4)",
    )


def finalist_settings(options: argparse.Namespace) -> dict[str, int]:
    """What was given of the final round, by the names of `HeadSearch`."""
    return {
        name: getattr(options, name)
        for name in ("finalists", "finalist_seeds")
        if getattr(options, name) is not None
    }


def require_searchable(task: tasks.TaskSpec) -> None:
    """Refuses a task that the search does not know.

    Args:
        task: TaskSpec.

    Raises:
        ArgumentError: it is of a kind that is not searched for.
    """
    if not task.traits.is_searchable:
        raise ArgumentError(
            f"task: {task.name} is of kind {task.kind.value}, expected one for "
            "classification or regression: the search scores no others"
        )


def run(options: argparse.Namespace) -> None:
    """Searches, and prints what was found.

    Raises:
        BvkerasError: an argument, the data or the cache cannot be used.
    """
    require_searchable(options.task)
    if options.encoder:
        for name in finalist_settings(options):
            raise ArgumentError(
                f"--{name.replace('_', '-')}: expected with --cache only, a "
                "search for an encoder has no final round"
            )
    result = _tune_head(options) if options.cache else _tune_encoder(options)
    if result is not None:
        say(result.report_path.read_text(encoding="utf-8"))


def tune_run(
    task: tasks.TaskSpec, output_dir: pathlib.Path, trials: int, **final: int
) -> None:
    """Searches for a head on the caches of a finished run, and prints it.

    Args:
        task: TaskSpec.
        output_dir: path. What `bvkeras run` wrote; the search goes into its
            folder `tuning`.
        trials: int. How many to try.
        **final: what `finalist_settings` gives.
    """
    from bvkeras import fileio
    from bvkeras.serving.runs import RUN_SETTINGS_SCHEMA

    settings = fileio.read_json(
        output_dir / "settings.json", RUN_SETTINGS_SCHEMA
    )
    epochs = max(settings["epochs"])
    caches = output_dir / "cache" / f"epoch_{epochs:g}"
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(
        [
            # Whatever it is, the task itself takes its place.
            tasks.names()[0],
            *("--cache", str(caches / "train")),
            *("--output-dir", str(output_dir / "tuning")),
            *("--trials", str(trials)),
        ]
    )
    vars(options).update(final, task=task)
    options.evaluation_cache = [
        caches / split for split in task.evaluation_splits
    ]
    run(options)


def _tune_head(options):
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.tuning.head_search import tune_head

    cache = HiddenStateCache(options.cache)
    task = tasks.read_as(options.task, cache.manifest.pairs is not None)
    own = task.settings_for(cache.hidden_dim)
    return tune_head(
        task,
        cache,
        options.output_dir,
        trials=options.trials,
        space=head_space(options.space, own, options.set),
        evaluation_caches=[
            HiddenStateCache(path) for path in options.evaluation_cache
        ],
        workers=options.workers,
        oracle=options.oracle,
        seed=options.seed,
        held_out=options.held_out,
        patience=options.patience,
        dtype=options.dtype,
        **finalist_settings(options),
    )


def _tune_encoder(options):
    from bvkeras.data.sources import load_examples
    from bvkeras.tuning.encoder_search import tune_encoder
    from bvkeras.tuning.spaces import EncoderSpace, paper_encoder

    task = options.task
    if options.pairs is not None:
        task = dataclasses.replace(task, pairs=options.pairs)
    space = EncoderSpace()
    if options.space == "paper":
        space = paper_encoder(task.paper_settings.finetune.batch_size)
    examples = {
        split: load_examples(task, split, options.data_dir)
        for split in task.splits
    }
    examples["train"] = examples["train"].limit(options.limit)
    return tune_encoder(
        task,
        options.encoder,
        examples,
        options.output_dir,
        trials=options.trials,
        space=space.replaced(given_settings(options.set)),
        oracle=options.oracle,
        seed=options.seed,
        held_out=options.held_out,
        rows_share=options.rows_share,
        max_tokens=options.max_tokens,
        dropout=options.dropout,
        sentence_pooling=options.sentence_pooling,
        retrain=options.retrain,
    )


def head_space(name: str, own: tasks.TaskSettings, given: list[str]):
    """A named space of heads for a task, with some settings replaced.

    Args:
        name: str. `"default"` or `"paper"`.
        own: TaskSettings. Gives batch size and passes, and, but for the
            paper's space, how tokens are pooled.
        given: list of str. As `given_settings` takes them.
    """
    from bvkeras.tuning.spaces import HeadSpace, paper_head, weighted_head

    numbers = {"batch_size": own.head.batch_size, "epochs": own.head.epochs}
    space = HeadSpace(**numbers, token_pooling=own.head.token_pooling)
    if own.head.pooler == tasks.WEIGHTED:
        space = weighted_head(**numbers)
    if name == "paper":
        space = paper_head(**numbers)
    return space.replaced(given_settings(given))


def given_settings(texts: list[str]) -> dict[str, Any]:
    """Settings from texts such as `"units=8,16"`.

    Raises:
        ArgumentError: a text cannot be read.
    """
    from bvkeras.tuning.spaces import Choice, Range

    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ArgumentError(f"--set: expected NAME=VALUES, got {text!r}")
        if name == "layers":
            # Such as 0+3+6, of which a single one would be read as a number.
            parts = tuple(value.split(","))
            settings[name] = Choice(parts) if len(parts) > 1 else value
        elif ":" in value:
            low, high, *rest = value.split(":")
            if rest not in ([], ["log"]):
                raise ArgumentError(
                    f"--set: expected LOW:HIGH or LOW:HIGH:log, got {text!r}"
                )
            settings[name] = Range(_value(low), _value(high), bool(rest))
        elif "," in value:
            settings[name] = Choice(tuple(map(_value, value.split(","))))
        else:
            settings[name] = _value(value)
    return settings


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
