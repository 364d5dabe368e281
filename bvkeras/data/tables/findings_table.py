"""The table of findings on a terminal."""

import rich.console

from bvkeras.data.tables.table_findings import TableFindings
from bvkeras.terminal_table import print_table


def print_findings(
    findings: TableFindings, console: rich.console.Console | None = None
) -> None:
    """Prints the table, without colour, in at most 100 columns.

    Args:
        findings: `TableFindings`.
        console: rich console. Defaults to standard output, as wide as the
            terminal, or 100 columns when it is not one.
    """
    header, rows = findings.table()
    numbers = [header.index(name) for name in ("rows", "share")]
    print_table(header, rows, numbers, console)
