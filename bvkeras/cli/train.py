"""`bvkeras train`: trains a pooled head on a cache."""

import argparse
import pathlib

from bvkeras import tasks
from bvkeras.cli import options as shared
from bvkeras.printable import say

SUMMARY = "train a pooled head on a cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras train`."""
    shared.add_task(parser)
    parser.add_argument(
        "--cache", type=pathlib.Path, required=True, help="what extract wrote"
    )
    shared.add_output(parser)
    shared.add_head_settings(parser)
    shared.add_seed(parser)


def run(options: argparse.Namespace) -> None:
    """Trains, and prints the head's size and where it is.

    Raises:
        BvkerasError: an argument or the cache cannot be used.
    """
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.pipeline.settings import RunSettings
    from bvkeras.training.head import train_head

    task = tasks.get(options.task)
    cache = HiddenStateCache(options.cache)
    settings = RunSettings.for_task(
        task, cache.hidden_dim, **shared.settings_of(options)
    )
    head = train_head(
        task,
        cache,
        options.output_dir,
        units=settings.units,
        learning_rate=settings.head_learning_rate,
        epochs=settings.head_epochs,
        batch_size=settings.head_batch_size,
        dropout=settings.head_dropout,
        pooler=settings.pooler,
        token_pooling=settings.token_pooling,
        projection_rate=settings.head_projection_rate,
        seed=settings.seed,
    )
    say(f"{head.parameters:,} parameters: {head.model_path}")
