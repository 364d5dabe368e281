"""How long does one request take, against a plain Keras export?

The same encoder (MiniLM-L6) and pooled head, asked for one sentence of movie
reviews at a time. Baseline: `keras.Model.export` of the functional model of
`HiddenStates` and `PoolingClassifier`, float32, with token ids padded to 128
tokens; its tokenising is done beforehand and not counted. Against it, from
text to label:

  float32, bfloat16      `bvkeras.serving.export` with one head
  ten_heads              ten heads in float32, asked for all answers

Systems are loaded from disk into one process and take turns on each sentence,
so that what else the machine does meets all of them alike; ratios are taken
within each turn. Writes one line for each turn and system to a CSV file and
prints the smallest and the median time, and the median of the ratios.

    python benchmarks/serving.py
"""

import argparse
import csv
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from serving_systems import BASELINE, MAX_TOKENS, PACKAGE, write_exports

import bvkeras

_COLUMNS = (
    *("threads", "turn", "tokens", "system", "seconds"),
    *("ratio_to_baseline", "ratio_to_float32"),
)
_RESULTS = pathlib.Path(__file__).parent / "results" / "serving.csv"


def main() -> None:
    """Times every system on every sentence and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument(
        "--threads", type=int, default=0, help="of TensorFlow (all)"
    )
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    encoder = bvkeras.load_backbone(PACKAGE, dropout=0.0)
    examples = bvkeras.load_examples(bvkeras.tasks.get("reviews"), "train")
    texts = examples.limit(options.sentences).texts_a
    with tempfile.TemporaryDirectory() as directory:
        systems = _loaded(write_exports(encoder, pathlib.Path(directory)))
    rows = _time(systems, encoder, texts, options.threads or os.cpu_count())
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with open(options.results, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    _print_table(rows)


def _loaded(exports: dict[str, pathlib.Path]) -> dict[str, Callable]:
    """Each system's answer to a text and its padded ids, from disk."""
    systems = {}
    for name, path in exports.items():
        signature = tf.saved_model.load(str(path)).signatures["serving_default"]
        systems[name] = _asked(signature, takes_ids=name == BASELINE)
    return systems


def _asked(signature, takes_ids):
    if takes_ids:
        return lambda text, ids: signature(**ids)
    return lambda text, ids: signature(text=text)


def _time(systems, encoder, texts, threads) -> list[dict]:
    rows = []
    for turn, text in enumerate(["to get going", *texts]):
        batch = encoder.preprocess([text], max_tokens=MAX_TOKENS)
        num_tokens = batch["token_ids"].shape[1]
        missing = ((0, 0), (0, MAX_TOKENS - num_tokens))
        ids = {k: tf.constant(np.pad(v, missing)) for k, v in batch.items()}
        given = tf.constant([text])
        taken = {}
        for name, system in systems.items():
            began = time.perf_counter()
            for output in system(given, ids).values():
                output.numpy()
            taken[name] = time.perf_counter() - began
        # The first request of each is its own preparation.
        for name, seconds in taken.items() if turn else ():
            rows.append(
                {
                    "threads": threads,
                    "turn": turn,
                    "tokens": num_tokens,
                    "system": name,
                    "seconds": round(seconds, 6),
                    "ratio_to_baseline": round(taken[BASELINE] / seconds, 3),
                    "ratio_to_float32": round(seconds / taken["float32"], 3),
                }
            )
    return rows


def _print_table(rows) -> None:
    tokens = statistics.median(row["tokens"] for row in rows)
    print(f"median of {tokens:g} tokens a sentence")
    print("system: smallest ms, median ms, times as fast, times float32's time")
    for name in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == name]
        seconds = [row["seconds"] for row in own]
        faster, longer = (
            statistics.median(row[column] for row in own)
            for column in ("ratio_to_baseline", "ratio_to_float32")
        )
        print(
            f"{name}: {1e3 * min(seconds):.2f}, "
            f"{1e3 * statistics.median(seconds):.2f}, {faster:.2f}, "
            f"{longer:.2f}"
        )


if __name__ == "__main__":
    main()
