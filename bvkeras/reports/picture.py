"""A figure with the numbers it shows: the class `Picture`."""

import csv
import dataclasses
import io
import os
import pathlib
import threading
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib.figure import Figure

from bvkeras.fileio import atomic_path, write_text
from bvkeras.printable import spreadsheet_cell

_DOTS_PER_INCH = 150
# matplotlib's parameters are the whole process's.
_PARAMETERS = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A figure, what to call it, and its numbers as a table.

    Args:
        name: str. Of its files, without an ending.
        title: str. Says what it shows, for those who do not see it too.
        figure: matplotlib `Figure`.
        columns: list of str.
        rows: list of lists of str and numbers, as many as columns.
    """

    name: str
    title: str
    figure: Figure
    columns: list[str]
    rows: list[list]

    @property
    def file_names(self) -> dict[str, str]:
        """The files `save` writes, by what they are."""
        return {kind: f"{self.name}.{kind}" for kind in ("png", "svg", "csv")}

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `<name>.png`, `.svg` and `.csv`, each atomically.

        Args:
            directory: str or path.

        Raises:
            OSError: a file cannot be written.
        """
        directory = pathlib.Path(directory)
        names = self.file_names
        with atomic_path(directory / names["png"]) as temporary:
            self.figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
        write_text(directory / names["svg"], self.svg())
        write_text(directory / names["csv"], self.csv())

    def svg(self) -> str:
        """The figure as SVG, the same text for the same figure."""
        file = io.StringIO()
        with _PARAMETERS, matplotlib.rc_context({"svg.hashsalt": self.name}):
            self.figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()

    def csv(self) -> str:
        """The numbers, comma-separated, exact both ways."""
        return csv_text(self.columns, self.rows)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A table as comma-separated text, numbers exact both ways.

    Texts that a spreadsheet would compute get an apostrophe in front.

    Args:
        columns: sequence of str.
        rows: sequences of str and numbers, as many as columns.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow(map(spreadsheet_cell, row))
    return file.getvalue()
