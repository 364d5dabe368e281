"""What is kept of a measurement: one row for each candidate."""

import csv
import dataclasses
import pathlib
from typing import Any

from benchmarks.pooling.shapes import Operands
from benchmarks.pooling.timing import Timing, fastest


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the CSV file; what does not apply is an empty string.

    Attributes:
        device: string. `"cpu"` or `"gpu"`.
        question: string.
        shape: string.
        stored: string. Type of the hidden states.
        candidate: string.
        median: float. Of the rounds, in `unit`; a peak is one number.
        least: float. Likewise.
        unit: string. `"ms"`, `"MB"`, `"GFLOP/s"` or `"GB/s"`.
        gflops: float. Of the two products, whatever else is done.
        gigabytes: float. A second, of the hidden states, read twice.
        baseline: string. The fastest of what the question names.
        ratio: float. How many times the candidate's the baseline's number
            is: median over the rounds.
        least_ratio: float. The least of them.
        same_baseline: string. The fastest graph of TensorFlow's own with
            hidden states of the same stored type.
        same_ratio: float. Likewise.
        same_least_ratio: float. Likewise.
    """

    device: str
    question: str
    shape: str
    stored: str
    candidate: str
    median: float
    least: float
    unit: str = "ms"
    gflops: float | str = ""
    gigabytes: float | str = ""
    baseline: str = ""
    ratio: float | str = ""
    least_ratio: float | str = ""
    same_baseline: str = ""
    same_ratio: float | str = ""
    same_least_ratio: float | str = ""


COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


def timed_rows(
    device: str,
    question: str,
    timings: dict[str, Timing],
    operands: dict[str, Operands],
    baselines: dict[str, list[str]],
    same: dict[str, list[str]] | None = None,
) -> list[Row]:
    """A row for each candidate, against the fastest baseline of its type.

    Args:
        device: string.
        question: string.
        timings: dict. By candidate.
        operands: dict. What each candidate works on.
        baselines: dict. Names of candidates, by stored type.
        same: dict. Likewise, of those given the same stored type.
    """
    rows = []
    for name, timing in timings.items():
        work = operands[name]
        facts: dict[str, Any] = {}
        for prefix, choices in (("", baselines), ("same_", same or {})):
            if work.stored not in choices:
                continue
            best = fastest(timings, choices[work.stored])
            ratio, least = timing.faster_than(timings[best])
            facts[f"{prefix}baseline"] = best
            facts[f"{prefix}ratio"] = round(ratio, 3)
            facts[f"{prefix}least_ratio"] = round(least, 3)
        rows.append(
            Row(
                device,
                question,
                str(work.shape),
                work.stored,
                name,
                round(1e3 * timing.median, 3),
                round(1e3 * min(timing.seconds), 3),
                gflops=round(work.shape.step_flops / timing.median / 1e9, 1),
                gigabytes=round(2 * work.hidden_bytes / timing.median / 1e9, 2),
                **facts,
            )
        )
    return rows


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as text; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def replace_rows(path: pathlib.Path, rows: list[Row]) -> None:
    """Puts new rows in the place of those of the same device and question."""
    new = [{k: str(v) for k, v in dataclasses.asdict(r).items()} for r in rows]
    answered = {(row["device"], row["question"]) for row in new}
    kept = [
        row
        for row in read_rows(path)
        if (row["device"], row["question"]) not in answered
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])
