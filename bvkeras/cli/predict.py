"""`bvkeras predict`: answers to texts that have no labels."""

import argparse
import pathlib

from bvkeras.cli import options as shared
from bvkeras.cli import table
from bvkeras.errors import ArgumentError
from bvkeras.printable import say

SUMMARY = (
    "answer the texts of a table by a run, a saved model or an export; tables "
    "of any size; or the test files of GLUE"
)
# Of a table, and of nothing else.
_OF_TABLES = ("text", "text_b", "keep", "separator", "encoding", "id_column")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras predict`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=pathlib.Path,
        help="what run, train, finetune, export or save of a model wrote",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--input",
        nargs="+",
        metavar="FILE",
        help="tables: CSV, TSV, JSON lines or Parquet, each also with .gz; or "
        "patterns (in quotes)",
    )
    what.add_argument(
        "--split",
        choices=("test",),
        help="the official test files of the model's GLUE task; needs "
        "--data-dir",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        required=True,
        metavar="PATH",
        help="answers, a row each: .csv, .tsv or .jsonl; of --split a folder, "
        "where files for gluebenchmark.com are written",
    )
    parser.add_argument(
        "--data-dir",
        type=pathlib.Path,
        help="with --split: official files, as of `bvkeras run`",
    )
    parser.add_argument(
        "--text",
        metavar="COLUMN",
        help="the texts (the column the model was trained on)",
    )
    parser.add_argument(
        "--text-b", metavar="COLUMN", help="the second texts of pairs"
    )
    parser.add_argument(
        "--keep",
        type=shared.names,
        metavar="COLUMNS",
        help="columns of the input to repeat in the output, as id,text (none)",
    )
    table.add_reading(parser)
    parser.add_argument(
        "--system",
        choices=shared.SYSTEMS,
        default="head",
        help="what of a run, as of `bvkeras export` (head)",
    )
    parser.add_argument(
        "--epochs", type=float, help="stop point of fine-tuning (the last)"
    )
    parser.add_argument(
        "--encoder", help="as of `bvkeras export`, where a run does not say it"
    )
    parser.add_argument(
        "--task", help="which of an export's, if it has several"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="what the encoder computes in (float32)",
    )


def run(options: argparse.Namespace) -> None:
    """Answers every row, and prints where the answers are.

    Raises:
        BvkerasError: the model, the table or an argument cannot be used.
    """
    (_answer_tables if options.split is None else _answer_test)(options)


def _answer_test(options: argparse.Namespace) -> None:
    from bvkeras.serving.glue_submission import write_submission

    for name in _OF_TABLES:
        if getattr(options, name) is not None:
            raise ArgumentError(
                f"--{name.replace('_', '-')}: expected with --input, not with "
                "--split"
            )
    if options.data_dir is None:
        raise ArgumentError("--split: expected --data-dir with it, got none")
    model = _open(options)
    for path in write_submission(model, options.data_dir, options.output):
        say(f"answers: {path}")


def _answer_tables(options: argparse.Namespace) -> None:
    from bvkeras.serving.answers_writer import check_output
    from bvkeras.serving.table_answers import answer_table

    check_output(options.output)
    if options.data_dir is not None:
        raise ArgumentError("--data-dir: expected with --split")
    if options.text_b is not None and options.text is None:
        raise ArgumentError("--text-b: expected --text with it, got none")
    model = _open(options)
    columns = [name for name in (options.text, options.text_b) if name]
    count = answer_table(
        model,
        options.input,
        options.output,
        columns=columns or None,
        keep=options.keep or (),
        id_column=options.id_column,
        separator=options.separator,
        encoding=options.encoding,
    )
    say(f"{count:,} answers: {options.output}")


def _open(options: argparse.Namespace):
    from bvkeras.serving.text_model import TextModel

    return TextModel.open(
        options.model,
        task=options.task,
        system=options.system,
        epochs=options.epochs,
        encoder=options.encoder,
        dtype=options.dtype,
    )
