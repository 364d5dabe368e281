"""`bvkeras extract`: caches all hidden states of a split."""

import argparse

from bvkeras.cli import options as shared
from bvkeras.cli.helpers import helpers
from bvkeras.errors import ArgumentError
from bvkeras.parent_process import end_with_parent
from bvkeras.printable import say

SUMMARY = "cache all hidden states"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras extract`."""
    shared.add_task(parser)
    parser.add_argument(
        "--encoder",
        required=True,
        help=f"SNAPSHOT/encoder of a fine-tuned one, {shared.ENCODERS}",
    )
    shared.add_data(parser)
    parser.add_argument(
        "--output-dir",
        help="where the cache is written; not needed for --plan",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="only print examples, tokens and bytes for each cache dtype",
    )
    parser.add_argument("--split", help="which split (train)")
    parser.add_argument(
        "--layers",
        type=shared.integers,
        help="hidden states to keep, as 0,3,6; 0 is the embedding output (all)",
    )
    parser.add_argument("--max-tokens", type=int, help="longer texts are cut")
    shared.add_pairs(parser)
    shared.add_windows(parser)
    shared.add_cache_dtype(parser)
    parser.add_argument(
        "--extras",
        type=shared.names,
        default=(),
        help="what else to keep of every token, as token_ids,offsets (nothing)",
    )
    parser.add_argument(
        "--compute-dtype",
        choices=shared.INFERENCE_DTYPES,
        help="what the encoder computes in (float32)",
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=1024,
        help="most tokens a batch has; a GPU wants more (1024)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="N processes on this machine; the same command on other machines "
        "that share the folder, at any time, does its part of the work",
    )
    shared.add_limit(parser)


def run(options: argparse.Namespace) -> None:
    """Writes the cache and prints what it holds, or prints its plan.

    Raises:
        BvkerasError: an argument, the data or the encoder cannot be used, or
            the directory holds another cache.
    """
    workers = options.workers
    if workers is not None and workers < 1:
        raise ArgumentError(f"--workers: expected at least 1, got {workers}")
    end_with_parent()
    from bvkeras.cache.writer import plan_cache, write_cache
    from bvkeras.data.left_out import write_left_out
    from bvkeras.data.sources import load_examples
    from bvkeras.encoders.loading import load_backbone

    task = shared.task_of(options)
    if not options.plan and options.output_dir is None:
        raise ArgumentError("--output-dir: expected it, or --plan; got none")
    if "://" in (options.output_dir or ""):
        raise ArgumentError(
            f"--output-dir: expected a local folder, got {options.output_dir}; "
            "copy the cache there with `bvkeras cache copy`"
        )
    encoder = load_backbone(options.encoder, dropout=0.0)
    own = task.settings_for(encoder.hidden_dim)
    examples = load_examples(
        task,
        options.split or "train",
        options.data_dir,
        skip_bad=options.skip_bad,
        stream=True,
    ).limit(options.limit)
    contents = {
        "max_tokens": (
            own.finetune.max_tokens
            if options.max_tokens is None
            else options.max_tokens
        ),
        "layers": options.layers,
        "extras": options.extras,
    }
    if options.plan:
        plan = plan_cache(encoder, examples, apart=task.is_apart, **contents)
        _print_plan(plan)
        return
    # Of an option that comes twice the last one counts.
    helping = helpers([*options.arguments, "--workers=1"], (workers or 1) - 1)
    with helping:
        cache = write_cache(
            encoder,
            task,
            examples,
            options.output_dir,
            dtype=options.cache_dtype or "bfloat16",
            compute_dtype=options.compute_dtype,
            max_batch_tokens=options.batch_tokens,
            shared=workers is not None,
            **contents,
        )
    write_left_out(examples, options.output_dir)
    say(f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB")


def _print_plan(plan) -> None:
    say(f"examples: {plan.examples:,}")
    say(f"tokens: {plan.tokens:,}")
    for dtype, num_bytes in plan.num_bytes.items():
        say(f"{dtype}: {num_bytes:,} bytes")
