"""Options that name a table of one's own, and the task they make."""

import argparse
import functools

from bvkeras import tasks
from bvkeras.errors import ArgumentError

_OPTIONS = (
    *("validation", "text", "text_b", "label", "kind", "name", "held_out"),
    *("separator", "encoding", "id_column"),
)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Adds `--train` and what goes with it."""
    group = parser.add_argument_group(
        "a table of your own",
        "CSV, TSV, JSON lines or Parquet, each also with .gz",
    )
    group.add_argument(
        "--train",
        nargs="+",
        metavar="FILE",
        help="files or patterns (in quotes) with texts and labels",
    )
    group.add_argument(
        "--validation",
        nargs="+",
        metavar="FILE",
        help="the same to be scored on (a part of --train is held out)",
    )
    group.add_argument(
        "--text",
        metavar="COLUMN",
        help="the texts (text), or of tokens the words (words)",
    )
    group.add_argument(
        "--text-b", metavar="COLUMN", help="the second texts of pairs"
    )
    group.add_argument(
        "--label",
        nargs="+",
        metavar="COLUMN",
        help="the labels, or columns of 0 and 1, one for each label (label); "
        "of tokens the tags (tags)",
    )
    group.add_argument(
        "--kind",
        choices=("classification", "multilabel", "regression", "tokens"),
        help="what the labels are: one class a text, several labels with | "
        "between, a score, or a tag for each word (as they look)",
    )
    group.add_argument("--name", help="what to call the task (the file's name)")
    group.add_argument(
        "--held-out",
        type=float,
        metavar="SHARE",
        help="of the rows, where there is no --validation (0.1)",
    )
    add_reading(group)


def add_reading(parser: argparse._ActionsContainer) -> None:
    """Adds how a table is read."""
    parser.add_argument(
        "--separator",
        metavar="CHARACTER",
        help="between the cells of CSV (found from the header)",
    )
    parser.add_argument("--encoding", help="of text files (utf-8)")
    parser.add_argument(
        "--id-column",
        metavar="COLUMN",
        help="names the rows (they are counted)",
    )


def check_table_options(options: argparse.Namespace) -> None:
    """Refuses options of a table without one, or a table beside a task.

    Raises:
        ArgumentError: they do not go together; names one.
    """
    if options.train is None:
        for name in _OPTIONS:
            if getattr(options, name) is not None:
                raise ArgumentError(
                    f"--{name.replace('_', '-')}: expected with --train"
                )
        if options.task is None:
            raise ArgumentError("TASK, --train: expected one of them, got none")
    elif options.task is not None:
        raise ArgumentError(
            f"TASK, --train: expected one of them, got {options.task.name} too"
        )


def describe(options: argparse.Namespace, backbone: str):
    """Reads and checks the table, and prints what was found.

    Args:
        options: what `add_table` parsed.
        backbone: str. The encoder; its tokenizer counts the tokens.

    Returns:
        `bvkeras.data.tables.describe.TableDescription`.

    Raises:
        BvkerasError: the table or the encoder cannot be used.
    """
    from bvkeras.data.tables.describe import describe_table
    from bvkeras.data.tables.findings_table import print_findings
    from bvkeras.data.tables.token_lengths import token_lengths

    @functools.cache
    def encoder():
        # Not before the table was read: what is wrong with it is said at once.
        from bvkeras.encoders.loading import load_backbone

        return load_backbone(backbone, dropout=0.0)

    is_tagged = options.kind == "tokens" or _is_conll(options.train[0])
    text, label = ("words", "tags") if is_tagged else ("text", "label")
    text, labels = options.text or text, options.label or [label]
    table = describe_table(
        tasks.TableFiles(
            train=tuple(options.train),
            validation=tuple(options.validation or ()),
            held_out=0.1 if options.held_out is None else options.held_out,
            seed=options.seed or 0,
            separator=options.separator,
            encoding=options.encoding,
            id_column=options.id_column,
        ),
        (text, options.text_b) if options.text_b else text,
        labels[0] if len(labels) == 1 else labels,
        kind=options.kind,
        name=options.name,
        token_lengths=lambda first, second: token_lengths(
            encoder().tokenizer, first, second
        ),
        token_limit=lambda: encoder().backbone.max_sequence_length,
        max_tokens=options.max_tokens,
    )
    print_findings(table.findings)
    return table


def _is_conll(path: str) -> bool:
    """Whether a file's name ends as those of words with tags."""
    name = path.removesuffix(".gz").lower()
    return name.endswith((".conll", ".iob", ".bio"))
