"""Rows for a CSV file, written as they come, and lines for who watches."""

import csv
import pathlib
import time


class Report:
    """What was found.

    Args:
        folder: path. For the CSV files; made where it is missing.

    Attributes:
        failures: list of strings.
    """

    def __init__(self, folder: pathlib.Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.failures: list[str] = []
        self._began = time.monotonic()
        self._begun_files: set[str] = set()

    @property
    def seconds(self) -> float:
        """Since the report began."""
        return time.monotonic() - self._began

    def say(self, line: str) -> None:
        """Prints a line, with the seconds so far."""
        print(f"[{self.seconds:5.0f} s] {line}", flush=True)

    def fail(self, line: str) -> None:
        """Prints and keeps a failure."""
        self.failures.append(line)
        self.say(f"FAILED {line}")

    def write(self, name: str, columns: list[str], rows: list[dict]) -> None:
        """Adds rows to a CSV file; the first time it is written anew."""
        first = name not in self._begun_files
        self._begun_files.add(name)
        path = self.folder / f"{name}.csv"
        mode = "w" if first else "a"
        with path.open(mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            if first:
                writer.writeheader()
            writer.writerows(rows)
