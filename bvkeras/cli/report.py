"""`bvkeras report`: the paper's tables of finished runs."""

import argparse
import pathlib

from bvkeras.printable import say

SUMMARY = (
    "the paper's tables of runs: scores and compression, over tasks, encoders "
    "and seeds, beside the published ones"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras report`."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        type=pathlib.Path,
        help="a run's directory or its report.json; runs of one task and "
        "encoder may differ by the seed",
    )
    parser.add_argument(
        "--epochs",
        type=float,
        help="the stop point of fine-tuning to look at (each run's last)",
    )
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        required=True,
        help="where tables.md, tables.html, tables.json, CSV files and "
        "pictures are written",
    )


def run(options: argparse.Namespace) -> None:
    """Writes the tables of runs and prints their Markdown."""
    from bvkeras.reports.markdown import to_markdown
    from bvkeras.reports.paper_report import write_paper_report
    from bvkeras.reports.paper_tables import make_paper_tables

    tables = make_paper_tables(options.runs, options.epochs)
    document = write_paper_report(tables, options.output_dir)
    plots = (options.output_dir / "plots").as_posix()
    say(to_markdown(document, plots), end="")
    say(f"\nWritten: {options.output_dir / 'tables.html'}")
