"""How fast are all hidden states computed, for encoders of each family?

Random weights, in the shape of MiniLM-L6: 6 layers of 384 features and 12
heads, 1,536 inside the feed-forward network, 30,522 tokens; ELECTRA's and
ALBERT's embeddings have 128. Rows of 8 to 64 random tokens, sorted by length,
1,024 tokens a batch. Baseline: keras-hub's own layers in one compiled function
that gives every layer's output, float32, with dropout 0.1 in its config, as
checkpoints have it: it drops nothing here, but Keras then computes attention in
another way. Against it, on the same batches, what
`bvkeras extract` computes, and the baseline without that dropout:

  hub_no_dropout              the baseline with dropout 0 in its config
  own_float32, own_bfloat16   `FastEncoder`; for DeBERTa-v3, whose layers are
                              not BERT's, `KerasEncoder`

Systems take turns in one process, so that what else the machine does meets all
of them alike; a ratio is taken within each turn. Writes one line for each turn
to a CSV file and prints the smallest time and the median ratio of each.

    python benchmarks/families.py
"""

import argparse
import csv
import os
import pathlib
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bvkeras.data.token_batches import token_budget_batches
from bvkeras.encoders.families.registry import FAMILIES
from bvkeras.encoders.inference import inference_encoder
from bvkeras.layers.hidden_states import HiddenStates

_SIZES = {
    "vocabulary_size": 30_522,
    "vocab_size": 30_522,
    "num_layers": 6,
    "num_heads": 12,
    "hidden_dim": 384,
    "intermediate_dim": 1536,
    "max_sequence_length": 512,
    "num_segments": 2,
    "embedding_dim": 128,
    "num_groups": 1,
    "bucket_size": 256,
}
_LENGTHS = (8, 65)
_BATCH_TOKENS = 1024
_BASELINE = "hub_float32"
_COLUMNS = (
    *("family", "rows", "tokens", "threads", "turn", "system"),
    *("seconds", "ratio_to_baseline"),
)
_SIGNATURE = {
    name: tf.TensorSpec((None, None), tf.int32)
    for name in ("token_ids", "segment_ids", "padding_mask")
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "results" / "families.csv",
    )
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for family in FAMILIES:
            writer.writerows(_measure(family, options))
            file.flush()


def _measure(family, options) -> list[dict]:
    keras.utils.set_random_seed(0)
    sizes = {name: _SIZES[name] for name in family.entries.sizes}
    backbone = family.backbone_class(**sizes, dropout=0.1)
    without_dropout = family.backbone_class(**sizes, dropout=0.0)
    batches = _batches(options.rows)
    num_tokens = sum(int(batch["padding_mask"].sum()) for batch in batches)
    systems = {
        _BASELINE: HiddenStates(backbone, as_list=True),
        "hub_no_dropout": HiddenStates(without_dropout, as_list=True),
        "own_float32": inference_encoder(backbone, None, "float32"),
        "own_bfloat16": inference_encoder(backbone, None, "bfloat16"),
    }
    systems = {name: _compiled(system) for name, system in systems.items()}
    rows, seconds = [], {name: [] for name in systems}
    # The first turn traces, and is not counted.
    for turn in range(options.turns + 1):
        taken = {}
        for name, compute in systems.items():
            began = time.perf_counter()
            for batch in batches:
                compute(batch)
            taken[name] = time.perf_counter() - began
        for name in systems if turn else ():
            seconds[name].append((taken[name], taken[_BASELINE] / taken[name]))
            rows.append(
                {
                    "family": family.name,
                    "rows": options.rows,
                    "tokens": num_tokens,
                    "threads": options.threads or os.cpu_count(),
                    "turn": turn,
                    "system": name,
                    "seconds": f"{taken[name]:.4f}",
                    "ratio_to_baseline": f"{seconds[name][-1][1]:.3f}",
                }
            )
    for name, pairs in seconds.items():
        times, ratios = zip(*pairs, strict=True)
        print(
            f"{family.name:12} {name:14} {min(times):8.3f} s  "
            f"{statistics.median(ratios):5.2f} x",
            flush=True,
        )
    return rows


def _batches(num_rows: int) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    lengths = np.sort(random.integers(*_LENGTHS, num_rows))
    batches = []
    for rows in token_budget_batches(lengths, _BATCH_TOKENS):
        shape = (len(rows), lengths[rows].max())
        mask = np.arange(shape[1]) < lengths[rows][:, None]
        ids = random.integers(5, _SIZES["vocabulary_size"], shape)
        batches.append(
            {
                "token_ids": ids.astype(np.int32),
                "segment_ids": np.zeros(shape, np.int32),
                "padding_mask": mask.astype(np.int32),
            }
        )
    return batches


def _compiled(function: Callable) -> Callable[[dict], list[np.ndarray]]:
    compute = tf.function(
        function, input_signature=[_SIGNATURE], autograph=False
    )
    return lambda batch: [state.numpy() for state in compute(batch)]


if __name__ == "__main__":
    main()
