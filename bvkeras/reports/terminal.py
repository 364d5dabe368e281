"""A report's table on a terminal."""

import rich.console

from bvkeras import terminal_table
from bvkeras.evaluation.comparison import Comparison
from bvkeras.reports.score_table import score_notes, score_table


def print_table(
    comparison: Comparison, console: rich.console.Console | None = None
) -> None:
    """Prints the report's table, without colour, in at most 100 columns.

    Args:
        comparison: `Comparison`.
        console: rich console. Defaults to standard output, as wide as the
            terminal, or 100 columns when it is not one.
    """
    header, rows = score_table(comparison)
    numbers = range(1, len(header) - 1)
    terminal_table.print_table(
        [
            name.replace(" ", "\n") if number in numbers else name
            for number, name in enumerate(header)
        ],
        rows,
        numbers,
        console,
        title=f"{comparison.title}: {comparison.backbone}",
        caption="\n".join(score_notes(comparison)),
    )
