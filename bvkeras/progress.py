"""Progress bars with rate and time left, quiet when nobody watches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import rich.console
import rich.progress

from bvkeras.printable import printable

_LOG_SECONDS = 30.0


class Bar:
    """One running bar; `advance` moves it.

    On a terminal it is redrawn in place; elsewhere (a log file, CI) one line
    is printed every 30 seconds and one at the end.

    Args:
        label: str. What is being done.
        total: int, or None. Units in all; None is not known.
        unit: str. Name of the unit, plural.
        done: int. Units an earlier, interrupted process finished.
    """

    def __init__(self, label: str, total: int | None, unit: str, done: int = 0):
        # Labels and notes hold names from files and arguments.
        self.label = _in_one_line(label)
        self.total, self.unit = total, unit
        self.done, self._first = done, done
        self._note = ""
        self._start = self._logged = time.monotonic()
        self._console = rich.console.Console(stderr=True, highlight=False)
        self._live = None
        if self._console.is_terminal:
            self._live = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}", markup=False),
                rich.progress.BarColumn(bar_width=24),
                rich.progress.TextColumn(
                    "{task.fields[numbers]}", markup=False
                ),
                console=self._console,
            )
            self._live.start()
            self._task = self._live.add_task(
                self.label, total=total, completed=done, numbers=""
            )

    def advance(self, units: int = 1, note: str = "") -> None:
        """Moves the bar by `units`; `note` (a loss, say) stands after it."""
        self.done += units
        self._note = _in_one_line(note)
        if self._live:
            self._live.update(
                self._task, completed=self.done, numbers=self._numbers()
            )
        elif time.monotonic() - self._logged >= _LOG_SECONDS:
            self._log()

    def close(self) -> None:
        """Stops drawing and leaves the last line standing."""
        if self._live:
            self._live.stop()
        else:
            self._log()

    def _log(self) -> None:
        self._logged = time.monotonic()
        self._console.print(
            f"{self.label}: {self._numbers()}", soft_wrap=True, markup=False
        )

    def _numbers(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self.done - self._first) / seconds
        if self.total is None:
            return (
                f"{self.done:,} {self.unit} · {rate:,.1f}/s · "
                f"{_clock(seconds)} gone"
            )
        left = (self.total - self.done) / rate if rate else float("inf")
        shown_left = "--:--" if left == float("inf") else _clock(left)
        parts = [
            f"{self.done:,}/{self.total:,} {self.unit}",
            f"{rate:,.1f}/s",
            f"{_clock(seconds)} gone, {shown_left} left",
        ]
        return " · ".join([*parts, self._note] if self._note else parts)


@contextmanager
def progress_bar(
    label: str, total: int | None, unit: str, done: int = 0
) -> Iterator[Bar]:
    """A `Bar` for a `with` block; closed whatever happens inside."""
    bar = Bar(label, total, unit, done)
    try:
        yield bar
    finally:
        bar.close()


def _in_one_line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"
