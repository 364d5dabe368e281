"""A table on a terminal."""

from collections.abc import Collection, Iterable, Sequence

import rich.box
import rich.console
import rich.table
import rich.text

from bvkeras.printable import printable

_MOST_COLUMNS = 100


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Collection[int],
    console: rich.console.Console | None = None,
    *,
    title: str | None = None,
    caption: str | None = None,
) -> None:
    """Prints a table, without colour, in at most 100 columns.

    Args:
        header: sequence of str. Names of the columns.
        rows: iterable of sequences of str. Their cells.
        numbers: collection of int. Places of the columns that hold numbers,
            which end at the right.
        console: rich console. Defaults to standard output, as wide as the
            terminal, or 100 columns when it is not one.
        title: str, or None. A line above. Defaults to `None`.
        caption: str, or None. Lines below. Defaults to `None`.
    """
    if console is None:
        console = rich.console.Console(no_color=True)
        if not console.is_terminal:
            console.width = _MOST_COLUMNS
    ascii_only = console.options.ascii_only

    # Text, not str: rich would read [brackets] in a name as markup.
    def plain(text: str) -> rich.text.Text:
        if ascii_only:
            text = text.replace("±", "+-")
        return rich.text.Text(printable(text))

    table = rich.table.Table(
        title=None if title is None else plain(title),
        caption=None if caption is None else plain(caption),
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="",
        header_style="bold",
        box=rich.box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for number, name in enumerate(header):
        table.add_column(
            plain(name),
            justify="right" if number in numbers else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table, width=min(console.width, _MOST_COLUMNS))
