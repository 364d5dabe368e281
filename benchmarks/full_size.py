"""What would the paper's tables cost on this machine? Hours and gigabytes.

Measures, on random weights of BERT-base's or BERT-large's size, how many
tokens a second fine-tuning, extraction and a head's training take in, and
multiplies with the tokens of each task. Prints a table in Markdown and writes
a CSV file of the rates.

    python benchmarks/full_size.py --size base
    python benchmarks/full_size.py --size large --compute-dtype mixed_bfloat16

Not in it: loading, evaluation, and the search for settings.
"""

import argparse
import csv
import pathlib
import statistics
import time

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from bvkeras import tasks
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.training.kinds import kind_of
from bvkeras.training.optimizers import adamw

_SIZES = {
    "base": {"num_layers": 12, "num_heads": 12, "hidden_dim": 768},
    "large": {"num_layers": 24, "num_heads": 16, "hidden_dim": 1024},
}
# Rows of the official training and development files, and mean tokens of a
# row, special tokens included, cut at the paper's lengths: of the training
# files; of MNLI and QNLI of the development files. Of QQP and MRPC no files
# were at hand: tokens are not known.
_TASKS = {
    "mnli": (392_702, 9_815 + 9_832, 39.05),
    "qnli": (104_743, 5_463, 50.97),
    "qqp": (363_846, 40_430, None),
    "rte": (2_490, 277, 70.18),
    "sst2": (67_349, 872, 13.32),
    "mrpc": (3_668, 408, None),
    "cola": (8_551, 1_043, 11.33),
    "stsb": (5_749, 1_500, 27.81),
}
_RESULTS = pathlib.Path(__file__).parent / "results" / "full_size.csv"
_TOKENS = 64
_HEAD_TOKENS = 128
_HEAD_BATCH = 16
_COLUMNS = ("size", "device", "compute_dtype", "step", "tokens_per_second")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=_SIZES, default="base")
    parser.add_argument(
        "--compute-dtype",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    shape = _SIZES[options.size]
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=30_522,
        intermediate_dim=4 * shape["hidden_dim"],
        max_sequence_length=512,
        dtype=options.compute_dtype,
        **shape,
    )
    rates = {
        "fine-tune": _finetune_rate(backbone, options),
        "extract": _extraction_rate(backbone, options),
        "train head": _head_rate(shape, options),
    }
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    _append(
        options.results,
        [
            [options.size, device, options.compute_dtype, step, round(rate, 1)]
            for step, rate in rates.items()
        ],
    )
    for step, rate in rates.items():
        print(f"{step}: {rate:,.0f} tokens a second")
    _print_table(rates, shape)


def _finetune_rate(backbone: keras.Model, options) -> float:
    """Tokens a second of a training step with AdamW."""
    model = finetuning_model(backbone, 2)
    optimizer = adamw(1e-5, 1000)
    optimizer.build(model.trainable_variables)
    loss_function = kind_of(tasks.get("sst2").kind).loss()

    @tf.function
    def step(inputs, labels):
        with tf.GradientTape() as tape:
            loss = loss_function(labels, model(inputs, training=True))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        gradients = [tf.convert_to_tensor(one) for one in gradients]
        optimizer.apply(gradients, variables)
        return loss

    batch = _batch(options.batch_size)
    labels = tf.range(options.batch_size, dtype=tf.int64) % 2
    seconds = _median(lambda: step(batch, labels), options.steps)
    return options.batch_size * _TOKENS / seconds


def _extraction_rate(backbone: keras.Model, options) -> float:
    """Tokens a second of all hidden states."""
    dtype = options.compute_dtype.removeprefix("mixed_")
    encode = FastEncoder(backbone, compute_dtype=dtype)
    forward = tf.function(lambda inputs: encode(inputs))
    batch = _batch(options.batch_size)
    seconds = _median(lambda: forward(batch), options.steps)
    return options.batch_size * _TOKENS / seconds


def _head_rate(shape: dict[str, int], options) -> float:
    """Tokens a second of a step of the paper's head, 128 units, bfloat16."""
    layers, features = shape["num_layers"] + 1, shape["hidden_dim"]
    head = PoolingClassifier(2, _HEAD_TOKENS, _HEAD_TOKENS, layers, features)
    head.compile(
        keras.optimizers.AdamW(1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    states = tf.cast(
        tf.random.normal((_HEAD_BATCH, _HEAD_TOKENS, layers, features)),
        tf.bfloat16,
    )
    mask = tf.ones((_HEAD_BATCH, _HEAD_TOKENS), tf.bool)
    labels = tf.range(_HEAD_BATCH) % 2
    seconds = _median(
        lambda: head.train_on_batch((states, mask), labels), options.steps
    )
    return _HEAD_BATCH * _HEAD_TOKENS / seconds


def _batch(batch_size: int) -> dict[str, tf.Tensor]:
    shape = (batch_size, _TOKENS)
    return {
        "token_ids": tf.random.uniform(shape, 0, 30_000, tf.int32),
        "segment_ids": tf.zeros(shape, tf.int32),
        "padding_mask": tf.ones(shape, tf.int32),
    }


def _median(call, steps: int) -> float:
    seconds = []
    for number in range(steps + 1):
        began = time.perf_counter()
        result = call()
        for tensor in tf.nest.flatten(result):
            np.asarray(tensor)
        if number:  # The first traces.
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _print_table(rates: dict[str, float], shape: dict[str, int]) -> None:
    steps = list(rates)
    print(
        "| task | rows | tokens, millions | cache, GB | "
        + " | ".join(f"{step}, hours" for step in steps)
        + " |"
    )
    print("|---" * (4 + len(steps)) + "|")
    for task, (train, dev, mean_tokens) in _TASKS.items():
        title = tasks.get(task).title
        if mean_tokens is None:
            print(f"| {title} | {train:,} |" + " not counted |" * 5)
            continue
        tokens = train * mean_tokens
        all_tokens = tokens + dev * mean_tokens
        state = (shape["num_layers"] + 1) * shape["hidden_dim"] * 2
        work = (tokens, all_tokens, tokens)
        hours = [
            amount / rates[step] / 3600
            for step, amount in zip(steps, work, strict=True)
        ]
        print(
            f"| {title} | {train:,} | {tokens / 1e6:.2f} | "
            f"{all_tokens * state / 1e9:,.1f} | "
            + " | ".join(f"{value:,.2f}" for value in hours)
            + " |"
        )


def _append(path: pathlib.Path, rows: list[list]) -> None:
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(_COLUMNS)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
