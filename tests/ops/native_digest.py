"""A digest of all that the native operations compute; also a script.

As a script it imports TensorFlow alone:

    python native_digest.py libbvkeras_ops.so NUMBER_OF_THREADS
"""

import hashlib
import itertools
import sys

import numpy as np
import tensorflow as tf


def digest(operations):
    """SHA-256 of outputs and gradients, the same for the same bits.

    Args:
        operations: module. What `tf.load_op_library` returns.
    """
    random = np.random.default_rng(0)
    digest = hashlib.sha256()

    def constant(*shape, dtype="float32"):
        return tf.constant(random.normal(size=shape), dtype)

    for dtype, positions in itertools.product(
        ("float32", "bfloat16"), ((), (131,))
    ):
        arguments = {
            "hidden_states": [constant(5, 131, 5, 67, dtype=dtype)],
            "scales": [],
            "valid": tf.constant(random.random(size=(5, 131)) < 0.7),
            "kernel": constant(67, 19),
            "bias": constant(19),
            "projection": constant(*positions, 5, 19, 3),
            "stacked": True,
            "stash_type": dtype,
        }
        name = "bvkeras_linear_pooling_projection"
        results = getattr(operations, name)(**arguments)
        arguments["output_gradient"] = constant(5, 131, 3)
        arguments["stash"] = results.stash
        results = [
            results.projected,
            *getattr(operations, f"{name}_grad")(**arguments),
            *getattr(operations, f"{name}_hidden_states_grad")(**arguments),
        ]
        for result in results:
            digest.update(tf.cast(result, tf.float32).numpy().tobytes())
    # One long text, whose layers threads share, and a text for each of them.
    for batch, tokens in ((1, 149), (5, 31)):
        packed = operations.bvkeras_pack_encoder_layer(
            *(constant(64, 192), constant(192), constant(64, 64)),
            *(constant(64), constant(64), constant(64)),
            *(constant(64, 96), constant(96), constant(96, 64)),
            *(constant(64), constant(64), constant(64)),
            heads=4,
            epsilons=[1e-6, 1e-6],
        )
        states = operations.bvkeras_encode_layers(
            constant(batch, tokens, 64),
            tf.constant(random.random(size=(batch, tokens)) < 0.7),
            [packed],
            M=1,
            heads=4,
            inner=96,
            approximate=False,
            steps=[0, 0],
            wanted=[1],
        )
        digest.update(states[0].numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
    print(digest(tf.load_op_library(sys.argv[1])))
