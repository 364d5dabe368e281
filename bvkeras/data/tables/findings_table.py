"""The table of findings on a terminal."""

import rich.box
import rich.console
import rich.table
import rich.text

from bvkeras.data.tables.table_findings import TableFindings

_TABLE_WIDTH = 100


def print_findings(
    findings: TableFindings, console: rich.console.Console | None = None
) -> None:
    """Prints the table, without colour, in at most 100 columns.

    Args:
        findings: `TableFindings`.
        console: rich console. Defaults to standard output, as wide as the
            terminal, or 100 columns when it is not one.
    """
    if console is None:
        console = rich.console.Console(no_color=True)
        if not console.is_terminal:
            console.width = _TABLE_WIDTH
    header, rows = findings.table()
    table = rich.table.Table(
        header_style="bold", box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in header:
        is_number = name in ("rows", "share")
        table.add_column(
            name,
            justify="right" if is_number else "left",
            overflow="fold",
        )
    for row in rows:
        # Text, not str: rich would read [brackets] in a name as markup.
        table.add_row(*map(rich.text.Text, row))
    console.print(table, width=min(console.width, _TABLE_WIDTH))
