"""How long does a table of 200,000 rows take to be read and described?

Writes one of 40 words a row as CSV, JSON lines and Parquet, describes each in
a process of its own, and one more whose last row is broken, and adds a line for
each to a CSV file: seconds of the processor, wall-clock seconds, and the most
memory the process held.

    python -m benchmarks.own_tables
"""

import argparse
import csv
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

from bvkeras.data.tables.describe import describe_table
from bvkeras.errors import DataError
from bvkeras.tasks import TableFiles

_WORDS = ("alpha", "beta", "the", "of", "film", "good", "🙂", "שלום", "tables")
_RESULTS = pathlib.Path(__file__).parent / "results" / "own_tables.csv"
_COLUMNS = ("file", "rows", "outcome", "cpu_seconds", "seconds", "megabytes")


def main() -> None:
    """Writes the tables, or describes the one that is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--output", type=pathlib.Path, default=_RESULTS)
    parser.add_argument("--describe", help="a table, in this process")
    options = parser.parse_args()
    if options.describe:
        print(json.dumps(_describe(options.describe)))
        return
    lines = []
    with tempfile.TemporaryDirectory() as directory:
        for path in _write(pathlib.Path(directory), options.rows):
            command = (sys.executable, "-m", "benchmarks.own_tables")
            found = subprocess.run(
                (*command, "--describe", path), check=True, capture_output=True
            )
            lines.append((path.name, options.rows, *json.loads(found.stdout)))
            print(*lines[-1], flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with open(options.output, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([_COLUMNS, *lines])


def _describe(path):
    began = time.monotonic()
    try:
        table = describe_table(TableFiles(path), "text", "label")
        outcome = f"{len(table.examples['train'])} to train on"
    except DataError as error:
        outcome = str(error).partition(": ")[2].partition(";")[0]
    return (
        outcome,
        round(time.process_time(), 1),
        round(time.monotonic() - began, 1),
        _peak_megabytes(),
    )


def _peak_megabytes():
    # What getrusage says is no less than what the parent held.
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+)", status).group(1)) // 1024


def _write(directory, num_rows):
    import pyarrow
    import pyarrow.parquet

    choose = random.Random(0)
    rows = [
        {
            "text": " ".join((*choose.choices(_WORDS, k=40), str(number))),
            "label": f"class {number % 7}",
        }
        for number in range(num_rows)
    ]
    paths = [
        directory / f"table.{name}" for name in ("csv", "jsonl", "parquet")
    ]
    with open(paths[0], "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with open(paths[1], "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), paths[2])
    broken = directory / "broken.csv"
    broken.write_bytes(paths[0].read_bytes() + b"x\r\n")
    return [*paths, broken]


if __name__ == "__main__":
    main()
