"""`bvkeras finetune`: fine-tunes an encoder, with a snapshot at each stop."""

import argparse

from bvkeras.cli import options as shared
from bvkeras.printable import say

SUMMARY = "fine-tune an encoder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras finetune`."""
    shared.add_task(parser)
    shared.add_backbone(parser)
    shared.add_data(parser)
    shared.add_output(parser)
    shared.add_finetune_settings(parser)
    shared.add_pairs(parser)
    shared.add_windows(parser)
    group = parser.add_argument_group("several devices and hosts")
    group.add_argument(
        "--strategy",
        choices=("mirrored", "workers"),
        help="share each batch among the GPUs of this machine, or among the "
        "processes that TF_CONFIG names, which all run this command (one "
        "device)",
    )
    group.add_argument(
        "--accumulate",
        type=int,
        default=1,
        metavar="N",
        help="compute each batch in N turns, for less memory (1)",
    )
    shared.add_seed(parser)
    shared.add_limit(parser)


def run(options: argparse.Namespace) -> None:
    """Fine-tunes, and prints where the snapshots are.

    Raises:
        BvkerasError: an argument, the data or the encoder cannot be used.
    """
    # Before anything else of TensorFlow: it has to find the other hosts.
    strategy = None
    if options.strategy is not None:
        from bvkeras.training.strategies import strategy_of

        strategy = strategy_of(options.strategy)
    from bvkeras.data.left_out import write_left_out
    from bvkeras.data.sources import load_examples
    from bvkeras.encoders import hub
    from bvkeras.encoders.loading import load_backbone
    from bvkeras.pipeline.settings import RunSettings
    from bvkeras.training.finetune import finetune

    task = shared.task_of(options)
    backbone = hub.pinned(options.backbone or task.backbone)
    settings = RunSettings.for_task(
        task,
        load_backbone(backbone, dropout=0.0).hidden_dim,
        **shared.settings_of(options),
    )
    encoder = load_backbone(
        backbone,
        dropout=settings.finetune.dropout,
        dtype=options.compute_dtype,
        sentence_pooling=options.sentence_pooling,
    )
    examples = load_examples(
        task, "train", options.data_dir, skip_bad=options.skip_bad
    )
    snapshots = finetune(
        encoder,
        task,
        examples.limit(settings.limit),
        options.output_dir,
        settings.finetune,
        accumulate=options.accumulate,
        strategy=strategy,
    )
    write_left_out(examples, options.output_dir)
    for snapshot in snapshots:
        say(f"epoch {snapshot.epochs:g}: {snapshot.directory}")
