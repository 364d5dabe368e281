"""`bvkeras train`: trains a head on a cache."""

import argparse
import pathlib

from bvkeras import tasks
from bvkeras.cli import options as shared
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

SUMMARY = "train a head on a cache: a pooled one, or a regression"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras train`."""
    shared.add_task(parser)
    parser.add_argument(
        "--cache", type=pathlib.Path, required=True, help="what extract wrote"
    )
    shared.add_output(parser)
    parser.add_argument(
        "--head",
        choices=("pooled", "regression"),
        default="pooled",
        help="a pooled head, or logistic or ridge regression on the mean of "
        "the hidden states, its penalty chosen by cross-validation (pooled)",
    )
    shared.add_head_settings(parser)
    shared.add_seed(parser)


def run(options: argparse.Namespace) -> None:
    """Trains, and prints the head's size and where it is.

    Raises:
        BvkerasError: an argument or the cache cannot be used.
    """
    from bvkeras.cache.reader import HiddenStateCache

    train = _train_pooled
    if options.head == "regression":
        _check_not_pooled(options)
        train = _train_regression
    cache = HiddenStateCache(options.cache)
    # A cache says how its pairs were read.
    task = tasks.read_as(options.task, cache.manifest.pairs is not None)
    head = train(task, cache, options)
    say(f"{head.parameters:,} parameters: {head.model_path}")


def _check_not_pooled(options: argparse.Namespace) -> None:
    """Refuses what only a pooled head has."""
    for name in shared.HEAD_SETTINGS:
        if getattr(options, name) is not None:
            raise ArgumentError(
                f"--{name.replace('_', '-')}: expected with --head pooled, "
                "got --head regression"
            )


def _train_regression(task, cache, options):
    from bvkeras.training.regression import train_regression

    settings = _settings(task, cache, options)
    return train_regression(task, cache, options.output_dir, seed=settings.seed)


def _train_pooled(task, cache, options):
    from bvkeras.training.head import train_head

    return train_head(
        task,
        cache,
        options.output_dir,
        _settings(task, cache, options).head,
    )


def _settings(task, cache, options):
    from bvkeras.pipeline.settings import RunSettings

    return RunSettings.for_task(
        task, cache.hidden_dim, **shared.settings_of(options)
    )
