"""What was found in somebody's tables, before training starts."""

import dataclasses
from typing import Any

from bvkeras.data.tables.finding import Finding


@dataclasses.dataclass(frozen=True)
class TableFindings:
    """The table of findings.

    Args:
        findings: tuple of `Finding`, in the order to show.
    """

    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those that say that something may be wrong."""
        return tuple(item for item in self.findings if item.is_warning)

    @property
    def notes(self) -> list[str]:
        """A sentence on each finding, for a report."""
        return [
            f"The table: {item.what}, {item.count:,} rows"
            + (f" ({_percent(item.share)})" if item.share else "")
            + (f"; {item.note}" if item.note else "")
            for item in self.findings
        ]

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Header and rows, all str: a mark, what, how many, share, note."""
        rows: list[tuple[str, ...]] = [
            (
                "!" if item.is_warning else "",
                item.what,
                f"{item.count:,}",
                "" if item.share is None else _percent(item.share),
                item.note,
            )
            for item in self.findings
        ]
        return ("", "found", "rows", "share", "where"), rows

    def lines(self) -> list[str]:
        """The table as lines of plain text."""
        header, rows = self.table()
        widths = [
            max(len(row[place]) for row in (header, *rows))
            for place in range(len(header) - 1)
        ]
        lines = []
        for row in (header, *rows):
            cells = [
                row[0].ljust(widths[0]),
                row[1].ljust(widths[1]),
                row[2].rjust(widths[2]),
                row[3].rjust(widths[3]),
                row[4],
            ]
            lines.append("  ".join(cells).rstrip())
        return lines

    def to_record(self) -> list[dict[str, Any]]:
        """What JSON holds of it."""
        return [
            dataclasses.asdict(item) | {"share": item.share}
            for item in self.findings
        ]


def _percent(share):
    if 0 < share < 0.001:
        return "< 0.1%"
    return f"{share:.1%}"
