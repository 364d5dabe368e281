"""`bvkeras cache import`: hidden states from elsewhere, as a cache."""

import argparse
import pathlib

from bvkeras.cli import options as shared
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

SUMMARY = (
    "make a cache of hidden states that another program computed, with their "
    "labels; stopped, the same command goes on"
)

# As in data/tables/table_paths.py, which is slow to import.
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
# Sources of tasks whose files are known.
_AT_HAND = ("table", "reviews")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras cache import`."""
    parser.add_argument(
        "states",
        metavar="STATES",
        nargs="+",
        type=pathlib.Path,
        help=".npy, .npz, .safetensors, .parquet or .arrow files; or a folder "
        "of such files, of one example each, as vLLM writes them, or of "
        "several; or a folder that save_to_disk of datasets wrote",
    )
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        required=True,
        help="what computed them, as you call it; caches of one name and the "
        "same layers belong together",
    )
    shared.add_output(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--task",
        type=shared.task,
        help="what the labels are of: a task's name, a task.json, or an "
        "imported cache with one",
    )
    which.add_argument(
        "--name", help="a new task is learned from the labels, and called so"
    )
    parser.add_argument("--split", default="train", help="which split (train)")
    _add_places(parser)
    _add_labels(parser)
    parser.add_argument(
        "--layer-names",
        type=shared.names,
        help="names of the hidden states of a token, as 0,9,17 (those of their "
        "tensors)",
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        help="longer examples are cut; of all splits the same (the width of "
        "padded states, or the longest example)",
    )
    shared.add_cache_dtype(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what is where",
        "NAME is that of an array or column beside the states",
    )
    group.add_argument(
        "--states",
        metavar="NAME",
        dest="states_name",
        help="the states, or a pattern such as 'layer_{layer}' where each "
        "layer has its own (hidden_states, or names that differ in a number)",
    )
    for name, what in (
        ("lengths", "tokens of each example (lengths)"),
        ("mask", "1 of each token, 0 of padding (attention_mask)"),
        (
            "starts",
            "first token of each example, and the number of all (offsets)",
        ),
        ("ids", "what the examples are called (ids; of files, their names)"),
    ):
        group.add_argument(
            f"--{name}",
            metavar="NAME",
            help=f"{what}; or a .npy file",
        )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--labels",
        metavar="FILE",
        help="an array or column beside the states, a .npy file, or a table: "
        "CSV, TSV, JSON lines or Parquet (label; otherwise the task's own)",
    )
    group.add_argument(
        "--label",
        metavar="COLUMN",
        nargs="+",
        default=("label",),
        help="the table's labels, or columns of 0 and 1 (label)",
    )
    group.add_argument(
        "--id-column",
        metavar="COLUMN",
        help="the table's names of the examples: where the states have them, "
        "too, they say whose label is whose",
    )
    group.add_argument(
        "--data-dir",
        type=pathlib.Path,
        help="take the task's own labels, from here",
    )
    group.add_argument(
        "--kind",
        choices=("classification", "multilabel", "regression"),
        help="of a new task: what its labels are (as they look)",
    )
    group.add_argument(
        "--label-names",
        type=shared.names,
        help="of a new task: the classes by their numbers, or the labels by "
        "their columns, as bad,good (those that are there)",
    )


def run(options: argparse.Namespace) -> None:
    """Imports, and prints what the cache holds.

    Raises:
        BvkerasError: the states or labels cannot be used, or the directory
            holds another cache.
    """
    from bvkeras.cache.imports.importer import import_cache
    from bvkeras.cache.imports.opening import in_order, open_states

    _check(options)
    source = open_states(
        # A shell sorts by letters.
        in_order(options.states),
        states=options.states_name,
        lengths=options.lengths,
        mask=options.mask,
        starts=options.starts,
    )
    task = options.task
    ids = _column(options.ids, "--ids", source)
    labels = _labels(options, source)
    if task is None:
        task = _learned(options, source, labels)
    elif labels is None:
        labels = _own_labels(options, source)
    cache = import_cache(
        source,
        task,
        options.output_dir,
        encoder=options.encoder,
        labels=labels,
        ids=ids,
        split=options.split,
        layer_names=options.layer_names,
        max_tokens=options.max_tokens,
        dtype=options.cache_dtype or "bfloat16",
        columns=options.label,
    )
    say(shared.described_cache(cache))
    cut = int((source.lengths > cache.max_tokens).sum())
    if cut:
        say(f"{cut:,} examples were cut to {cache.max_tokens} tokens")


def _check(options: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    if options.task is not None:
        for name in ("kind", "label_names"):
            if getattr(options, name) is not None:
                raise ArgumentError(
                    f"--{name.replace('_', '-')}: expected with --name, got "
                    "--task"
                )
    if options.data_dir is not None and (
        options.task is None or options.labels is not None
    ):
        raise ArgumentError(
            "--data-dir: expected with --task, and without --labels"
        )
    if options.id_column is not None and not _is_table(options.labels):
        raise ArgumentError("--id-column: expected with a table of --labels")


def _is_table(name: str | None) -> bool:
    return name is not None and pathlib.Path(name).suffix in _TABLES


def _labels(options: argparse.Namespace, source):
    """Labels that are given or lie beside the states; None are the task's."""
    from bvkeras.cache.imports.imported_examples import LABELS
    from bvkeras.cache.imports.label_rows import read_label_table

    if options.data_dir is not None:
        return None
    if _is_table(options.labels):
        return read_label_table(
            pathlib.Path(options.labels),
            options.label,
            id_column=options.id_column,
            several=options.kind == "multilabel"
            or (options.task is not None and options.task.several_labels),
        )
    if options.labels is not None:
        return _column(options.labels, "--labels", source)
    if options.task is not None and options.task.traits.per_token:
        return None
    return source.column(*LABELS)


def _own_labels(options: argparse.Namespace, source):
    """The task's own labels, where they need not be downloaded."""
    from bvkeras.data.sources import load_examples

    if options.data_dir is None and options.task.source not in _AT_HAND:
        raise ArgumentError(
            f"--labels: none lie beside the states of {source.name}, and none "
            "are given; those of the task's own files need --data-dir"
        )
    return load_examples(options.task, options.split, options.data_dir)


def _column(name: str | None, option: str, source):
    """What lies beside the states, or in a `.npy` file."""
    from bvkeras.cache.imports.array_tensors import load_array

    if name is None:
        return None
    if name.endswith(".npy"):
        return load_array(pathlib.Path(name))
    found = source.column(name)
    if found is None:
        raise ArgumentError(
            f"{option}: nothing beside the states of {source.name} is called "
            f"{name!r}"
        )
    return found


def _learned(options: argparse.Namespace, source, labels):
    """The task that the labels are of."""
    from bvkeras.cache.imports.label_rows import label_rows, learn_task
    from bvkeras.data.tables.table_rows import TableRows

    if labels is None:
        raise ArgumentError(
            f"--labels: none lie beside the states of {source.name}, expected "
            "some with --name"
        )
    if not isinstance(labels, TableRows):
        labels = label_rows(labels, options.labels or source.name)
    return learn_task(
        labels,
        options.name,
        kind=options.kind,
        label_names=options.label_names,
        columns=options.label,
        max_tokens=options.max_tokens
        or source.width
        or int(source.lengths.max()),
    )
