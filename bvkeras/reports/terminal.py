"""A report's table on a terminal."""

import rich.box
import rich.console
import rich.table
import rich.text

from bvkeras.evaluation.comparison import Comparison
from bvkeras.printable import printable
from bvkeras.reports.score_table import score_notes, score_table

_TABLE_WIDTH = 100


def print_table(
    comparison: Comparison, console: rich.console.Console | None = None
) -> None:
    """Prints the report's table, without colour, in at most 100 columns.

    Args:
        comparison: `Comparison`.
        console: rich console. Defaults to standard output, as wide as the
            terminal, or 100 columns when it is not one.
    """
    if console is None:
        console = rich.console.Console(no_color=True)
        if not console.is_terminal:
            console.width = _TABLE_WIDTH

    # Text, not str: rich would read [brackets] in a name as markup.
    def plain(text: str) -> rich.text.Text:
        if console.options.ascii_only:
            text = text.replace("±", "+-")
        return rich.text.Text(printable(text))

    header, rows = score_table(comparison)
    table = rich.table.Table(
        title=plain(f"{comparison.title}: {comparison.backbone}"),
        caption=plain("\n".join(score_notes(comparison))),
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="",
        header_style="bold",
        box=rich.box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for number, name in enumerate(header):
        is_number = 0 < number < len(header) - 1
        table.add_column(
            plain(name.replace(" ", "\n") if is_number else name),
            justify="right" if is_number else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    console.print(table, width=min(console.width, _TABLE_WIDTH))
