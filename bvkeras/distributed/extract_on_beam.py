"""`bvkeras extract` on Apache Beam.

    python -m bvkeras.distributed.extract_on_beam TASK --encoder ENCODER \\
      --output-dir FOLDER -- --runner RUNNER

The options are those of `bvkeras extract`; what stands after `--` is Beam's.
"""

import argparse
import sys
from collections.abc import Sequence

from apache_beam import Pipeline
from apache_beam.options.pipeline_options import PipelineOptions

from bvkeras.cli import extract
from bvkeras.cli import options as shared
from bvkeras.cli.main import script
from bvkeras.cli.parser import Parser
from bvkeras.data.sources import load_examples
from bvkeras.distributed.beam import WriteHiddenStates
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from bvkeras.printable import say


def run(options: argparse.Namespace) -> None:
    """Writes the cache and prints where it is.

    Raises:
        BvkerasError: an argument, the data or the encoder cannot be used.
    """
    for name in ("plan", "workers"):
        if getattr(options, name):
            raise ArgumentError(f"--{name}: expected without Beam")
    if options.output_dir is None:
        raise ArgumentError("--output-dir: expected it, got none")
    task = shared.task_of(options)
    max_tokens = options.max_tokens
    if max_tokens is None:
        opened = load_backbone(options.encoder, dropout=0.0)
        own = task.settings_for(opened.hidden_dim)
        max_tokens = own.finetune.max_tokens
    examples = load_examples(
        task,
        options.split or "train",
        options.data_dir,
        skip_bad=options.skip_bad,
        stream=True,
    ).limit(options.limit)
    write = WriteHiddenStates(
        options.encoder,
        task,
        examples,
        options.output_dir,
        max_tokens=max_tokens,
        layers=options.layers,
        dtype=options.cache_dtype or "bfloat16",
        extras=options.extras,
        compute_dtype=options.compute_dtype,
        max_batch_tokens=options.batch_tokens,
    )
    with Pipeline(options=PipelineOptions(options.beam)) as pipeline:
        _ = pipeline | write
    say(f"written: {options.output_dir}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `bvkeras.cli.main.main`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    parser = Parser(description=f"{extract.SUMMARY}, on Apache Beam")
    extract.add_arguments(parser)
    parser.set_defaults(beam=words[end + 1 :])
    return script(parser, run, words[:end])


if __name__ == "__main__":
    sys.exit(main())
