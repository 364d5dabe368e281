"""The encoder as what fills a cache: tokens in, stored values out."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bvkeras.cache.format import Manifest
from bvkeras.cache.quantization import quantize
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.inference import inference_encoder

Outputs = tuple[np.ndarray, np.ndarray | None, np.ndarray]
Forward = Callable[[dict[str, np.ndarray]], Outputs]


def num_threads() -> int:
    """How many threads TensorFlow computes one operation with.

    In so many parts, or fewer, a product is cut; the last bits tell.
    """
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    threads = threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    if threads < 1 and hasattr(os, "sched_getaffinity"):
        threads = len(os.sched_getaffinity(0))
    return threads if threads > 0 else os.cpu_count() or 1


def cache_forward(encoder: Encoder, manifest: Manifest) -> Forward:
    """What a cache's records are made with.

    Args:
        encoder: Encoder.
        manifest: Manifest. Says which layers, and the two types.

    Returns:
        Callable of a padded batch, token ids, segment ids and padding mask
        `(batch, tokens)`, to values `(batch, tokens, layers, features)`,
        int8's scales `(batch, tokens, layers)` or None, and whether all
        values of a token are finite, `(batch, tokens)`.
    """
    dtype = manifest.dtype
    hidden_states = inference_encoder(
        encoder.backbone,
        manifest.identity["layers"],
        manifest.identity["compute_dtype"],
        output_dtype="float32" if dtype == "int8" else dtype,
    )
    spec = tf.TensorSpec((None, None), tf.int32)

    @tf.function(
        input_signature=[
            {"token_ids": spec, "segment_ids": spec, "padding_mask": spec}
        ],
        autograph=False,
    )
    def compute(inputs):
        states = hidden_states(inputs)
        scales = None
        # Rounded before they are stacked: fewer bytes to copy.
        if dtype == "int8":
            states, scales = zip(*map(quantize, states), strict=True)
            scales = tf.stack(scales, axis=2)
            finite = tf.reduce_all(tf.math.is_finite(scales), axis=2)
            return tf.stack(states, axis=2), scales, finite
        finite = tf.reduce_all(
            [
                tf.reduce_all(
                    tf.math.is_finite(tf.cast(state, tf.float32)), axis=2
                )
                for state in states
            ],
            axis=0,
        )
        return tf.stack(states, axis=2), scales, finite

    # Traced here, not by two threads at once.
    compute = compute.get_concrete_function()

    def forward(inputs):
        values, scales, finite = compute(
            {name: tf.constant(ids) for name, ids in inputs.items()}
        )
        scales = None if scales is None else scales.numpy()
        return values.numpy(), scales, finite.numpy()

    return forward
