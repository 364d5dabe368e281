"""`bvkeras evaluate`: scores a head on a cache, or a fine-tuned encoder."""

import argparse
import pathlib

from bvkeras.cli import options as shared
from bvkeras.errors import ArgumentError
from bvkeras.printable import say
from bvkeras.tasks.spec import TaskSpec

SUMMARY = "score a head or an encoder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras evaluate`."""
    shared.add_task(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--head", type=pathlib.Path, help="what train wrote; needs --cache"
    )
    what.add_argument(
        "--snapshot", type=pathlib.Path, help="what finetune wrote"
    )
    parser.add_argument(
        "--cache", type=pathlib.Path, help="the split's hidden states"
    )
    parser.add_argument("--split", help="which split (validation)")
    parser.add_argument(
        "--threshold",
        type=float,
        help="squad_v2: a na_prob above it is no answer",
    )
    shared.add_threshold_choice(parser)
    shared.add_data(parser)
    shared.add_output(parser)


def run(options: argparse.Namespace) -> None:
    """Scores, and prints the scores and where the predictions are.

    Raises:
        BvkerasError: an argument, the data, the cache, the head or the
            snapshot cannot be used.
    """
    task = options.task
    _check_threshold(options, task)
    result = (_evaluate_snapshot if options.head is None else _evaluate_head)(
        task, options
    )
    for metric, score in result.metrics.items():
        say(f"{metric}: {score:.4f}")
    if task.traits.has_threshold:
        say(f"threshold: {result.threshold!r}")
    say(f"predictions: {result.predictions_path}")


def _evaluate_head(task, options):
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.evaluation.evaluate import evaluate_head
    from bvkeras.training.head import TrainedHead

    if options.cache is None:
        raise ArgumentError("--head: expected --cache with it, got none")
    head = TrainedHead.open(options.head)
    cache = HiddenStateCache(options.cache)
    split = cache.manifest.identity["split"]
    return evaluate_head(
        task,
        head,
        cache,
        options.output_dir,
        _load(task, split, options) if task.traits.needs_examples else None,
        _threshold(options, task, split),
    )


def _evaluate_snapshot(task, options):
    from bvkeras.evaluation.evaluate import evaluate_snapshot
    from bvkeras.training.finetune import Snapshot

    split = options.split or task.evaluation_splits[0]
    return evaluate_snapshot(
        task,
        Snapshot.open(options.snapshot),
        _load(task, split, options),
        options.output_dir,
        _threshold(options, task, split),
    )


def _load(task, split, options):
    from bvkeras.data.left_out import write_left_out
    from bvkeras.data.sources import load_examples

    examples = load_examples(
        task, split, options.data_dir, skip_bad=options.skip_bad
    )
    write_left_out(examples, options.output_dir)
    return examples


def _check_threshold(options: argparse.Namespace, task: TaskSpec) -> None:
    """Refuses options of the threshold that would mean nothing."""
    given = [
        name
        for name, value in (
            ("--threshold", options.threshold),
            ("--dev-threshold", options.dev_threshold or None),
            ("--threshold-metric", options.threshold_metric),
        )
        if value is not None
    ]
    if given and not task.traits.has_threshold:
        raise ArgumentError(
            f"{given[0]}: expected a task of questions, got {task.name}"
        )
    if options.threshold is not None and len(given) > 1:
        raise ArgumentError(f"{', '.join(given)}: expected one")


def _threshold(
    options: argparse.Namespace, task: TaskSpec, split: str
) -> float | str | None:
    """The threshold to score with, or what to choose it for on the split."""
    chosen_here = split == task.threshold_split or options.dev_threshold
    if (
        task.traits.has_threshold
        and options.threshold is None
        and not chosen_here
    ):
        raise ArgumentError(
            f"--threshold: expected the one that evaluating the split "
            f"{task.threshold_split} prints, or --dev-threshold; got none"
        )
    if options.threshold is None:
        return options.threshold_metric
    return options.threshold
