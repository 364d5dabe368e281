"""Nothing to do, as the first work of a thread; for processes of their own.

What a thread has done before hides what the first call gets wrong, so every
case here runs in a new thread, and tests/ops/test_empty_work.py runs this file
in a new process, which such a fault may end:

    python -m tests.ops.empty_work WHAT

with one of encoder, fit, numpy, tensorflow and variants.

Each gives zeros of the right shape, or nothing where the shape holds none; and
what the thread does afterwards is right. The last line says how many cases
there were.
"""

import itertools
import os
import sys
import threading

import ml_dtypes
import numpy as np

# No rows, no tokens, and no real token, by mask and by lengths.
EMPTY = ("no batch", "no tokens", "mask", "lengths")
# Of hidden states.
DTYPES = {
    "float32": np.float32,
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
    "int8": np.int8,
}
FORMS = ("stacked", "list")
OPERATIONS = ("pooling", "shared", "per position")
LAYERS, FEATURES, UNITS, OUTPUTS, POSITIONS = 2, 5, 3, 2, 4


def in_new_thread(function, *arguments):
    """What a function returns, or raises, in a thread that has done nothing."""
    results, errors = [], []

    def run():
        try:
            results.append(function(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def variants():
    """The instruction sets that this processor has; each is set in turn."""
    from bvkeras._native import kernels

    for variant in kernels.build_info()["compiled_variants"].split(", "):
        os.environ["BVKERAS_CPU_VARIANT"] = variant
        if not kernels.build_info()["variant_error"]:
            yield variant
    del os.environ["BVKERAS_CPU_VARIANT"]


def sizes_of(empty):
    return {"no batch": (0, 3), "no tokens": (2, 0)}.get(empty, (2, 3))


def valid_of(empty):
    batch, tokens = sizes_of(empty)
    if empty == "lengths":
        return {"lengths": np.zeros(batch, np.int64)}
    if empty == "full":
        return {}
    return {"mask": np.zeros((batch, tokens), bool)}


def weights_of(operation):
    random = np.random.default_rng(0)
    weights = {
        "kernel": random.normal(size=(FEATURES, UNITS)).astype("f"),
        "bias": random.normal(size=UNITS).astype("f"),
    }
    positions = (POSITIONS,) if operation == "per position" else ()
    if operation != "pooling":
        weights["projection"] = random.normal(
            size=(*positions, LAYERS, UNITS, OUTPUTS)
        ).astype("f")
    return weights


def output_shape(operation, empty):
    ends = (LAYERS, UNITS) if operation == "pooling" else (OUTPUTS,)
    return (*sizes_of(empty), *ends)


def check_every_variant():
    """`check_numpy` with every instruction set that is there."""
    from bvkeras._native import kernels

    return sum(check_numpy(kernels) for _ in variants())


def check_numpy(kernels):
    """Every pass of the module on numpy arrays.

    Args:
        kernels: module. `bvkeras._native.kernels`, or one like it.

    Returns:
        How many cases there were.
    """
    cases = list(
        itertools.product(DTYPES, FORMS, OPERATIONS, (True, False), EMPTY)
    )
    for dtype, form, operation, keeps, empty in cases:
        arguments = (kernels, dtype, form, operation, keeps)
        passes = ("backward", "forward", "backward_hidden_states")
        for name in passes[: 2 if dtype == "int8" else 3]:
            in_new_thread(_check_numpy_pass, name, *arguments, empty)
    return len(cases)


def _check_numpy_pass(name, kernels, dtype, form, operation, keeps, empty):
    weights = weights_of(operation)
    inputs = weights["kernel"], weights["bias"]
    batch, tokens = sizes_of(empty)
    # Nobody may look at it.
    hidden_states = np.ones((batch, tokens, LAYERS, FEATURES), DTYPES[dtype])
    scales = np.full((batch, tokens, LAYERS), np.nan, "f")
    if form == "list":
        hidden_states = [np.array(h) for h in np.moveaxis(hidden_states, 2, 0)]
        scales = [np.array(scale) for scale in np.moveaxis(scales, 2, 0)]
    own = "bfloat16" if dtype == "int8" else dtype
    arguments = {
        "projection": weights.get("projection"),
        "scales": scales if dtype == "int8" else None,
        "stash_type": own if keeps else "none",
        **valid_of(empty),
    }
    gradient = np.full(output_shape(operation, empty), np.nan, "f")
    if name == "forward":
        results = [kernels.forward(hidden_states, *inputs, **arguments)[0]]
        shapes = [output_shape(operation, empty)]
    else:
        stash = in_new_thread(
            lambda: kernels.forward(hidden_states, *inputs, **arguments)[1]
        )
        results = getattr(kernels, name)(
            hidden_states, *inputs, gradient, stash, **arguments
        )
        shapes = [array.shape for array in weights.values()]
    if name == "backward_hidden_states":
        if form == "stacked":
            hidden_states, results = [hidden_states], [results]
        shapes = [array.shape for array in hidden_states]
    results = [array for array in results if array is not None]
    _require_zeros(results, shapes)


def _require_zeros(results, shapes):
    assert len(results) == len(shapes)
    for result, shape in zip(results, shapes, strict=True):
        assert tuple(result.shape) == tuple(shape), (result.shape, shape)
        assert not np.asarray(result).astype("f").any()


def check_every_variant_in_tensorflow():
    """`check_tensorflow` with every instruction set that is there."""
    return sum(check_tensorflow([variant]) for variant in variants())


def check_tensorflow(ways=("chosen", "of products")):
    """Every operation with its gradients, against the reference.

    Afterwards the thread does the same with real tokens.
    """
    count = 0
    for variant in ways:
        for case in itertools.product(DTYPES, FORMS, OPERATIONS):
            for empty in EMPTY:
                for keep in ("stash", "recompute"):
                    in_new_thread(_check_operation, variant, *case, keep, empty)
                    count += 1
    in_new_thread(_check_graph)
    return count + 1


def _check_operation(variant, dtype, form, operation, keep, empty):
    from bvkeras.ops import linear_pooling

    linear_pooling.takes_matmul = lambda units: variant == "of products"
    native = _operation(dtype, form, operation, keep, empty, "native")
    plain = _operation(dtype, form, operation, keep, empty, "reference")
    _require_zeros(native, [array.shape for array in plain])
    _require_zeros(plain, [array.shape for array in plain])
    if empty != "mask":
        return
    _require_close(
        _operation(dtype, form, operation, keep, "full", "native"),
        _operation(dtype, form, operation, keep, "full", "reference"),
        dtype,
    )


def _operation(dtype, form, operation, keep, empty, implementation):
    """The output, and the gradients of weights and hidden states."""
    import tensorflow as tf

    from bvkeras.ops.linear_pooling import (
        linear_pooling,
        linear_pooling_projection,
    )

    weights = {k: tf.constant(v) for k, v in weights_of(operation).items()}
    shape = (*sizes_of(empty), LAYERS, FEATURES)
    values = np.random.default_rng(1).integers(-3, 4, shape)
    hidden_states = tf.constant(values, dtype)
    scales = tf.fill(shape[:3], 0.5)
    if form == "list":
        hidden_states = tf.unstack(hidden_states, axis=2)
        scales = tf.unstack(scales, axis=2)
    sources = list(weights.values())
    if dtype != "int8":
        sources += tf.nest.flatten(hidden_states)
    function = (
        linear_pooling if operation == "pooling" else linear_pooling_projection
    )
    with tf.GradientTape() as tape:
        tape.watch(sources)
        output = function(
            (hidden_states, scales) if dtype == "int8" else hidden_states,
            **weights,
            **valid_of(empty),
            keep=keep,
            implementation=implementation,
        )
    return [output, *tape.gradient(output, sources)]


def _require_close(results, expected, dtype):
    error = 1e-5 if dtype == "float32" else 0.04
    for result, right in zip(results, expected, strict=True):
        result, right = (np.asarray(a).astype("f") for a in (result, right))
        allowed = error * max(1, np.abs(right).max(initial=0))
        np.testing.assert_allclose(result, right, rtol=0, atol=allowed)


def _check_graph():
    """A graph that learns the sizes late, and all of them in turn."""
    import tensorflow as tf

    from bvkeras.ops.linear_pooling import linear_pooling_projection

    weights = {k: tf.constant(v) for k, v in weights_of("shared").items()}

    def step(implementation):
        @tf.function(
            input_signature=[
                tf.TensorSpec((None, None, LAYERS, FEATURES)),
                tf.TensorSpec((None, None), tf.bool),
            ]
        )
        def run(hidden_states, mask):
            with tf.GradientTape() as tape:
                tape.watch([*weights.values(), hidden_states])
                output = linear_pooling_projection(
                    hidden_states,
                    **weights,
                    mask=mask,
                    implementation=implementation,
                )
            sources = [*weights.values(), hidden_states]
            return [output, *tape.gradient(output, sources)]

        return run

    native, plain = step("native"), step("reference")
    for sizes, real in (
        ((0, 3), True),
        ((2, 0), True),
        ((0, 0), True),
        ((2, 3), False),
        ((2, 3), True),
    ):
        arguments = (
            tf.random.stateless_normal((*sizes, LAYERS, FEATURES), (0, 1)),
            tf.fill(sizes, real),
        )
        results, expected = native(*arguments), plain(*arguments)
        _require_close(results, expected, "float32")
        assert [r.shape for r in results] == [e.shape for e in expected]


def check_fit():
    """A training step without a real token, then one with some."""
    import keras

    from bvkeras.models import PoolingClassifier

    random = np.random.default_rng(0)
    shape = (4, 3, LAYERS, FEATURES)
    x, y = random.normal(size=shape).astype("f"), np.array([0, 1, 0, 1])
    after = []
    for implementation in ("native", "reference"):
        os.environ["BVKERAS_IMPLEMENTATION"] = implementation
        keras.utils.set_random_seed(0)
        model = PoolingClassifier(num_classes=2, units=4)
        model.compile("adam", "sparse_categorical_crossentropy")
        for mask in (np.zeros((4, 3), bool), np.ones((4, 3), bool)):
            model.fit((x, mask), y, verbose=0, shuffle=False)
        after.append(model.get_weights())
    for one, other in zip(*after, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    return len(after)


def check_encoder():
    """A native encoder's layers, then with real tokens, every variant."""
    count = 0
    for _ in variants():
        for empty in ("no batch", "no tokens", "mask"):
            in_new_thread(_check_encoder, empty)
            count += 1
    return count


def _check_encoder(empty):
    import tensorflow as tf

    from tests.ops.test_encoder_layers import SMALL, Case

    case = Case(SMALL)
    batch, tokens = sizes_of(empty)
    shape = (batch, tokens, SMALL[2])
    states = case.native(
        states=tf.fill(shape, np.nan), mask=tf.zeros((batch, tokens), tf.bool)
    )
    _require_zeros(states, [shape] * 2)
    for state, expected in zip(
        case.native(), case.plain("float32", "float32"), strict=True
    ):
        _require_close([state.numpy()[case.mask]], [expected], "float32")


def main(what):
    checks = {
        "encoder": check_encoder,
        "fit": check_fit,
        "numpy": check_every_variant,
        "tensorflow": check_tensorflow,
        "variants": check_every_variant_in_tensorflow,
    }
    print(f"{checks[what]()} cases")


if __name__ == "__main__":
    main(*sys.argv[1:])
