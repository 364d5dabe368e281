"""How much memory does a table take that grows?

The review sentences as a CSV file, 1, 4 and 16 times over, through each step
that a table passes: extraction with the texts on disk (what `bvkeras extract`
does) and in memory, one epoch of a pooled head on the cache, and answers to the
table (`bvkeras predict`). A tiny random BERT is the encoder, so that the
memory is the table's and the program's; its shards are of 16 MB instead of
128, so that one time over already fills some, as any real encoder does. Each
step runs in a fresh process; its peak is the largest resident set, imports
included. Adds a line for each to a CSV file. What is in the file is not done
again.

    python -m benchmarks.larger_than_memory
"""

import argparse
import csv
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from bvkeras.data.sources import load_examples
from bvkeras.tasks.table_files import TableFiles

_RESULTS = pathlib.Path(__file__).parent / "results" / "larger_than_memory.csv"
_COLUMNS = (
    *("step", "times", "rows", "table_mb", "cache_mb"),
    *("peak_mb", "seconds"),
)
_ROOT = pathlib.Path(__file__).parents[1]
_ENCODER = _ROOT / "tests" / "parity" / "tiny_tanh"
_TIMES = (1, 4, 16)
_STEPS = ("extract", "extract in memory", "train", "predict")
_MAX_TOKENS = 64


def main(arguments: list[str] | None = None) -> None:
    """Measures what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args(arguments)
    done = set()
    if options.output.exists():
        with open(options.output, encoding="utf-8", newline="") as file:
            done = {
                (row["step"], int(row["times"])) for row in csv.DictReader(file)
            }
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        for times in _TIMES:
            table = _write_table(folder / f"reviews_{times}.csv", times)
            for step in _STEPS:
                if (step, times) in done:
                    continue
                row = _in_a_process(step, times, table, folder)
                print(row, flush=True)
                _append(options.output, row)


def _write_table(path: pathlib.Path, times: int) -> pathlib.Path:
    train = load_examples("reviews", "train")
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for number in range(times):
            # No text comes twice: neither here nor in a table people have.
            for text, label in zip(train.texts_a, train.labels, strict=True):
                writer.writerow((f"{text} {number}", label))
    return path


def _in_a_process(step, times, table, folder):
    if step in ("train", "predict"):
        cache = folder / f"cache_{times}"
        if not cache.exists():
            _child("extract", table, cache, folder)
    cache = folder / (
        f"cache_{times}" if step != "extract in memory" else f"other_{times}"
    )
    if step == "predict" and not (folder / "model").exists():
        _child("fit", table, cache, folder)
    measured = _child(step, table, cache, folder)
    size = sum(path.stat().st_size for path in cache.glob("*.tfrecord"))
    return {
        "step": step,
        "times": times,
        "rows": measured["rows"],
        "table_mb": round(table.stat().st_size / 1e6, 1),
        "cache_mb": round(size / 1e6, 1),
        "peak_mb": round(measured["peak_mb"], 1),
        "seconds": round(measured["seconds"], 1),
    }


def _child(step, table, cache, folder):
    command = [sys.executable, "-m", "benchmarks.larger_than_memory"]
    process = subprocess.run(
        [*command, "--child", step, table, cache, folder],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


def _work(step: str, table: str, cache: str, folder: str) -> None:
    """What one process does; prints what it took."""
    from bvkeras.tasks.description import read_task

    task_file = pathlib.Path(folder) / f"{pathlib.Path(table).stem}.json"
    if not task_file.exists():
        _describe(table, task_file, pathlib.Path(folder))
    task = read_task(task_file)
    began = time.monotonic()
    rows = _STEP_WORK[step](task, table, cache, pathlib.Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "rows": rows,
                "peak_mb": peak * 1024 / 1e6,
                "seconds": time.monotonic() - began,
            }
        )
    )


def _describe(table, task_file, folder):
    """Describes the table in a process of its own: it reads all of it."""
    process = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.larger_than_memory"),
            *("--describe", table, task_file, folder),
        ],
        cwd=_ROOT,
        check=False,
    )
    assert process.returncode == 0


def _write_description(table: str, task_file: str, folder: str) -> None:
    from bvkeras.data.tables.describe import describe_table
    from bvkeras.tasks.description import write_task

    validation = pathlib.Path(folder) / "validation.csv"
    if not validation.exists():
        examples = load_examples("reviews", "validation")
        with open(validation, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            writer.writerows(
                zip(examples.texts_a, examples.labels, strict=True)
            )
    described = describe_table(
        TableFiles((table,), (str(validation),)),
        "text",
        "label",
        max_tokens=_MAX_TOKENS,
    )
    write_task(described.spec, pathlib.Path(task_file))


def _extract(task, table, cache, folder, stream=True):
    from bvkeras.cache import writer
    from bvkeras.encoders.loading import load_backbone

    examples = load_examples(task, "train", stream=stream)
    encoder = load_backbone(_ENCODER, dropout=0.0)
    writer._SHARD_BYTES = 16 << 20
    return len(
        writer.write_cache(
            encoder, task, examples, cache, max_tokens=_MAX_TOKENS
        )
    )


def _train(task, table, cache, folder):
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.training.head import train_head

    opened = HiddenStateCache(cache)
    head = folder / f"head_{pathlib.Path(cache).name}"
    train_head(task, opened, head, units=8, epochs=1, batch_size=64)
    return len(opened)


def _fit(task, table, cache, folder):
    import bvkeras

    examples = load_examples(task, "validation")
    model = bvkeras.TextClassifier.from_preset(
        str(_ENCODER), max_tokens=_MAX_TOKENS, encoder_training="frozen"
    )
    model.fit(list(examples.texts_a), [str(x) for x in examples.labels])
    model.save(folder / "model")
    return len(examples)


def _predict(task, table, cache, folder):
    from bvkeras.serving.table_answers import answer_table
    from bvkeras.serving.text_model import TextModel

    model = TextModel.open(folder / "model")
    answers = folder / f"answers_{pathlib.Path(table).name}"
    return answer_table(model, [table], answers, columns=["text"])


_STEP_WORK = {
    "extract": _extract,
    "extract in memory": lambda *arguments: _extract(*arguments, stream=False),
    "train": _train,
    "fit": _fit,
    "predict": _predict,
}


def _append(path: pathlib.Path, row: dict) -> None:
    is_new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _work(*sys.argv[2:])
    elif sys.argv[1:2] == ["--describe"]:
        _write_description(*sys.argv[2:])
    else:
        main()
