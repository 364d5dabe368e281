"""`bvkeras compare`: what differs between two reports."""

import argparse
import pathlib

from bvkeras.printable import say

SUMMARY = "what has changed between two report.json files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras compare`."""
    for name in ("first", "second"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            type=pathlib.Path,
            help="a report.json, or the directory of a run",
        )


def run(options: argparse.Namespace) -> None:
    """Prints what differs between two reports, as Markdown."""
    from bvkeras.reports.compare import compare_reports
    from bvkeras.reports.markdown import to_markdown
    from bvkeras.reports.report import read_report

    first, second = map(read_report, (options.first, options.second))
    say(to_markdown(compare_reports(first, second)), end="")
