"""Options that several verbs share, and how their values are read."""

import argparse
import dataclasses
import pathlib
from typing import Any

from bvkeras import tasks
from bvkeras.errors import ArgumentError, BvkerasError

# As in encoders/fast_encoder.py, encoders/sentence_pooling.py and
# cache/format.py, which are slow to import.
INFERENCE_DTYPES = ("float32", "bfloat16", "float16", "int8")
# As in serving/runs.py, which is slow to import.
SYSTEMS = ("head", "frozen", "encoder", "regression", "frozen_regression")
_SENTENCE_POOLINGS = ("cls", "first", "mean")
_CACHE_DTYPES = ("float32", "float16", "bfloat16", "int8")

_WINDOW_NUMBERS = tuple(
    field.name for field in dataclasses.fields(tasks.WindowPlan)
)
# Those of a pooled head.
HEAD_SETTINGS = (
    "units",
    "head_epochs",
    "head_learning_rate",
    "head_projection_rate",
    "head_batch_size",
    "head_dropout",
    "pooler",
    "token_pooling",
)
_SETTINGS = (
    "epochs",
    "learning_rate",
    "batch_size",
    "max_tokens",
    "dropout",
    "compute_dtype",
    "freeze_layers",
    "freeze_embeddings",
    "sentence_pooling",
    *HEAD_SETTINGS,
    "cache_dtype",
    "extraction_dtype",
    "seed",
    "limit",
)


# What `--backbone` and `--encoder` take.
ENCODERS = (
    "a keras-hub preset, a directory in Hugging Face's or keras-hub's layout, "
    "package:NAME, or hf://ORGANISATION/NAME[@REVISION] of the Hugging Face hub"
)


def add_task(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Adds the task, the first argument; `nargs="?"` makes it optional."""
    parser.add_argument(
        "task",
        nargs=nargs,
        type=task,
        metavar="TASK",
        help=f"{', '.join(tasks.names())}; or a task.json, or a run on a table "
        "of your own",
    )


def add_backbone(
    parser: argparse.ArgumentParser, task: str | None = None
) -> None:
    """Adds `--backbone`; its help names the default of the task, if given."""
    default = tasks.get(task).backbone if task else "the task's own"
    parser.add_argument(
        "--backbone",
        help=f"{ENCODERS} ({default})",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Adds `--data-dir` and `--skip-bad`."""
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


def add_pairs(parser: argparse._ActionsContainer) -> None:
    """Adds `--pairs`."""
    parser.add_argument(
        "--pairs",
        choices=tasks.PAIRS,
        help="how the encoder reads the two texts of a pair: in one row, or "
        "each by itself (the task's own)",
    )


def add_windows(parser: argparse.ArgumentParser) -> None:
    """Adds `--stride` and `--question-tokens`, the plan of windows."""
    plan = tasks.WindowPlan()
    group = parser.add_argument_group(
        "windows", "of squad_v2: how contexts are cut that are too long"
    )
    group.add_argument(
        "--stride",
        type=int,
        help=f"tokens from one window to the next ({plan.stride})",
    )
    group.add_argument(
        "--question-tokens",
        type=int,
        help=f"longer questions are cut ({plan.question_tokens})",
    )


def task_of(options: argparse.Namespace) -> tasks.TaskSpec:
    """The task, with the plan of windows and the pairs that were given.

    Raises:
        ArgumentError: a number of the plan is below 1, or the task has no
            windows, or no pairs.
    """
    task = options.task
    if options.pairs is not None:
        task = dataclasses.replace(task, pairs=options.pairs)
    given = {
        name: getattr(options, name)
        for name in _WINDOW_NUMBERS
        if getattr(options, name) is not None
    }
    for name, number in given.items():
        option = f"--{name.replace('_', '-')}"
        if not task.traits.has_windows:
            raise ArgumentError(
                f"{option}: expected a task of questions, got {task.name}"
            )
        if number < 1:
            raise ArgumentError(f"{option}: expected at least 1, got {number}")
    if not given:
        return task
    windows = dataclasses.replace(task.windows, **given)
    return dataclasses.replace(task, windows=windows)


def task(text: str) -> tasks.TaskSpec:
    """Reads a task: its name, or what describes it."""
    try:
        return tasks.get(text)
    except BvkerasError as error:
        raise argparse.ArgumentTypeError(
            str(error).removeprefix("task: ")
        ) from None


def add_threshold_choice(parser: argparse.ArgumentParser) -> None:
    """Adds `--dev-threshold` and `--threshold-metric`."""
    parser.add_argument(
        "--dev-threshold",
        action="store_true",
        help="squad_v2: choose the threshold of no answer on the very split "
        "that is scored, as the official script's sweep does",
    )
    parser.add_argument(
        "--threshold-metric",
        choices=("exact", "f1"),
        help="squad_v2: what the threshold of no answer is chosen for (exact)",
    )


def add_output(
    parser: argparse.ArgumentParser, default: str | None = None
) -> None:
    """Adds `--output-dir`, required unless there is a default to tell of."""
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        required=default is None,
        help="where everything is written"
        + (f" ({default})" if default else ""),
    )


def add_cache_path(parser: argparse.ArgumentParser) -> None:
    """Adds the path of a cache, the first argument."""
    parser.add_argument(
        "cache",
        metavar="CACHE",
        help="what extract wrote: a folder, or a path such as gs://…",
    )


def described_cache(cache) -> str:
    """One line on a cache: what it holds, and its size."""
    return f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB"


def add_cache_dtype(parser: argparse.ArgumentParser, **given: Any) -> None:
    """Adds `--cache-dtype`; what is given replaces its help, or requires it."""
    parser.add_argument(
        "--cache-dtype",
        choices=_CACHE_DTYPES,
        **{"help": "how hidden states are stored (bfloat16)", **given},
    )


def add_finetune_settings(parser: argparse.ArgumentParser) -> None:
    """Adds the settings of fine-tuning."""
    group = parser.add_argument_group(
        "fine-tuning", "defaults are the task's, for the encoder's size"
    )
    group.add_argument(
        "--epochs",
        type=numbers,
        help="stop points in epochs, as 0.5,1,2: a snapshot at each",
    )
    group.add_argument("--learning-rate", type=float, help="highest rate")
    group.add_argument("--batch-size", type=int, help="examples a step")
    group.add_argument("--max-tokens", type=int, help="longer texts are cut")
    add_dropout(group)
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
    add_sentence_pooling(group)


def add_dropout(parser: argparse._ActionsContainer) -> None:
    """Adds `--dropout`."""
    parser.add_argument(
        "--dropout",
        type=float,
        help="dropout of the encoder and in front of its head",
    )


def add_sentence_pooling(parser: argparse._ActionsContainer) -> None:
    """Adds `--sentence-pooling`."""
    parser.add_argument(
        "--sentence-pooling",
        choices=_SENTENCE_POOLINGS,
        help="what stands for a text: BERT's pooled [CLS] output, the last "
        "hidden state of [CLS] itself, or the mean of all tokens; not of "
        "squad_v2 (what the encoder was trained with)",
    )


def add_head_settings(parser: argparse.ArgumentParser) -> None:
    """Adds the settings of a pooled head."""
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
        choices=tasks.POOLERS,
        help="how layers and tokens are weighed: one linear map for all "
        "layers, the same of a mix of them, or weighted means, from where a "
        "regression ends",
    )
    group.add_argument(
        "--token-pooling",
        choices=("flatten", "mean"),
        help="weights for each position, as the paper has, or one for all "
        "tokens and their mean",
    )


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Every setting of a run by its name; None where it was not given."""
    return {name: getattr(options, name, None) for name in _SETTINGS}


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Adds `--seed`."""
    parser.add_argument("--seed", type=int, help="seed of everything (0)")


def add_limit(parser: argparse._ActionsContainer) -> None:
    """Adds `--limit`."""
    parser.add_argument(
        "--limit", type=int, help="use at most so many training rows"
    )


def numbers(text: str) -> tuple[float, ...]:
    """Reads numbers such as `0.5,1,2`."""
    return _parts(text, float, "0.5,1,2")


def integers(text: str) -> tuple[int, ...]:
    """Reads whole numbers such as `0,3,6`."""
    return _parts(text, int, "0,3,6")


def names(text: str) -> tuple[str, ...]:
    """Reads names such as `token_ids,offsets`."""
    return tuple(text.split(","))


def _parts(text: str, kind: type, example: str) -> tuple:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers such as {example}, got {text!r}"
        ) from None
