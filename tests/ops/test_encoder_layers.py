"""The native encoder's layers against plain TensorFlow, both against float64.

The rule is that of test_native_parity.py. Plain TensorFlow is what
`FastEncoder` computes, written here for layers without a backbone.
"""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.encoders.bert_weights import dense, layer_norm
from bvkeras.ops import library
from bvkeras.ops.encoder_layers import encode_layers, pack_encoder_layer
from tests.native import VARIANTS, force_variant, require_native
from tests.ops.parity_cases import FLOOR

# batch, tokens, features, heads, inner features: primes, one above and below
# whole vectors, more tokens than a group of texts, heads of 1 to 127 features.
SHAPES = [
    (1, 1, 1, 1, 1),
    (3, 7, 12, 4, 7),
    (2, 50, 5, 5, 40),
    (5, 17, 33, 1, 129),
    (1, 149, 64, 2, 65),
    (2, 31, 127, 1, 17),
    (2, 49, 384, 12, 100),
]
# After the first and the last of three steps through two layers.
STEPS, WANTED = (0, 1, 0), (0, 2)
SMALL = (3, 7, 12, 4, 8)


def make_layer(random, features, inner):
    def array(*shape, size, mean=0.0):
        values = random.normal(mean, size, size=shape)
        return tf.constant(values, tf.float32)

    def weights(inputs, outputs):
        return [
            array(inputs, outputs, size=inputs**-0.5),
            array(outputs, size=0.3),
        ]

    def norm(epsilon):
        gamma = array(features, size=0.2, mean=1.0)
        return gamma, array(features, size=0.2), epsilon

    return {
        "query_key_value": weights(features, 3 * features),
        "attention_output": weights(features, features),
        "attention_norm": norm(1e-3),
        "intermediate": weights(features, inner),
        "output": weights(inner, features),
        "output_norm": norm(1e-1),
    }


class Case:
    """Layers, states with NaN at padded tokens, and a mask with holes.

    Args:
        shape: tuple of int. As in `SHAPES`.
        approximate: bool. GELU by tanh.
    """

    def __init__(self, shape, approximate=False):
        batch, tokens, features, self.heads, self.inner = shape
        self.approximate = approximate
        random = np.random.default_rng(features)
        self.layers = [make_layer(random, features, self.inner) for _ in "ab"]
        self.mask = random.random(size=(batch, tokens)) < 0.7
        self.mask[:, -1] = True
        states = random.normal(size=(batch, tokens, features))
        states[~self.mask] = np.nan
        self.states = tf.constant(states, tf.float32)

    def pack(self, compute_dtype="float32"):
        return [
            pack_encoder_layer(layer, self.heads, compute_dtype)
            for layer in self.layers
        ]

    def native(self, compute_dtype="float32", **kwargs):
        packed = self.pack(compute_dtype)
        return self.encode(packed, compute_dtype=compute_dtype, **kwargs)

    def encode(self, packed, **kwargs):
        arguments = {
            "states": self.states,
            "mask": tf.constant(self.mask),
            "packed": packed,
            "num_heads": self.heads,
            "inner_dim": self.inner,
            "approximate_gelu": self.approximate,
            "steps": STEPS,
            "wanted": WANTED,
            "compute_dtype": "float32",
            "output_dtype": "float32",
        }
        return encode_layers(**{**arguments, **kwargs})

    def plain(self, compute_dtype, dtype):
        """What the native layers should give, padded tokens left out.

        Args:
            compute_dtype: string. Of products with weights.
            dtype: string. Of all else.
        """
        layers = tf.nest.map_structure(
            lambda part: (
                part if isinstance(part, float) else tf.cast(part, dtype)
            ),
            self.layers,
        )
        texts = []
        for row, mask in zip(self.states, self.mask, strict=True):
            state = tf.cast(row[mask], dtype)
            states = []
            for step in STEPS:
                state = self._transform(state, layers[step], compute_dtype)
                states.append(state)
            texts.append([states[step] for step in WANTED])
        return [tf.concat(states, 0) for states in zip(*texts, strict=True)]

    def _transform(self, state, layer, compute_dtype):
        def product(rows, name):
            kernel, bias = (tf.cast(w, compute_dtype) for w in layer[name])
            return tf.cast(
                dense(rows, (kernel, bias), compute_dtype), rows.dtype
            )

        parts = tf.reshape(
            product(state, "query_key_value"), (len(state), 3, self.heads, -1)
        )
        query, key, value = tf.unstack(tf.transpose(parts, (1, 2, 0, 3)))
        scores = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))
        attended = tf.transpose(tf.matmul(scores, value), (1, 0, 2))
        attended = tf.reshape(attended, state.shape)
        state += product(attended, "attention_output")
        state = layer_norm(state, layer["attention_norm"])
        inner = tf.nn.gelu(product(state, "intermediate"), self.approximate)
        state += product(inner, "output")
        return layer_norm(state, layer["output_norm"])


@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_parity(shape, compute_dtype, monkeypatch):
    case = Case(shape, approximate=SHAPES.index(shape) % 2 == 0)
    plain = case.plain(compute_dtype, "float32")
    exact = [state.numpy() for state in case.plain("float64", "float64")]
    tested = 0
    for variant in VARIANTS:
        with monkeypatch.context() as patch:
            try:
                force_variant(patch, variant)
            except pytest.skip.Exception:
                continue
            states = case.native(compute_dtype)
        for state, other, expected in zip(states, plain, exact, strict=True):
            assert not state.numpy()[~case.mask].any()
            error = np.abs(state.numpy()[case.mask] - expected).max()
            allowed = 2 * np.abs(other.numpy() - expected).max()
            floor = FLOOR[compute_dtype] * np.abs(expected).max()
            assert error <= allowed + floor, variant
        tested += 1
    assert tested > 0


@pytest.mark.parametrize("output_dtype", ["bfloat16", "float16"])
def test_outputs_are_rounded(output_dtype):
    require_native()
    case = Case(SMALL)
    for rounded, state in zip(
        case.native(output_dtype=output_dtype), case.native(), strict=True
    ):
        assert rounded.dtype == output_dtype
        expected = tf.cast(state, output_dtype)
        np.testing.assert_array_equal(rounded.numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("query_key_value_kernel", (12, 12)),
        ("query_key_value_bias", (12,)),
        ("attention_output_kernel", (12, 8)),
        ("attention_output_bias", (12, 1)),
        ("attention_gamma", (8,)),
        ("attention_beta", ()),
        ("intermediate_kernel", (12,)),
        ("intermediate_bias", (12,)),
        ("output_kernel", (12, 8)),
        ("output_bias", (8,)),
        ("output_gamma", (13,)),
        ("output_beta", (0,)),
    ],
)
def test_weights_of_a_wrong_shape(name, shape):
    require_native()
    (layer, _) = Case(SMALL).layers
    part = name.replace("gamma", "norm").replace("beta", "norm")
    part = part.removesuffix("_kernel").removesuffix("_bias")
    weights = list(layer[part])
    weights["bias" in name or "beta" in name] = tf.ones(shape)
    refuses(
        f"{name}: received shape",
        lambda: pack_encoder_layer({**layer, part: weights}, 4, "float32"),
    )


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("states: received shape", {"states": tf.ones((3, 12))}),
        ("mask: received shape", {"mask": tf.ones((3, 6), tf.bool)}),
        ("mask: received shape", {"mask": tf.ones((3, 7, 1), tf.bool)}),
        ("steps: received 2, there are 2", {"steps": (0, 1, 2)}),
        ("steps: received -1, there are 2", {"steps": (0, -1, 1)}),
        ("wanted: received 3 after 0", {"wanted": (0, 3)}),
        ("wanted: received 0 after 2", {"wanted": (2, 0)}),
        ("wanted: received 1 after 1", {"wanted": (1, 1)}),
        ("heads: received 5, which does not divide", {"num_heads": 5}),
        ("packed layer: made for other sizes", {"num_heads": 3}),
        ("packed layer: received", {"inner_dim": 31}),
        ("packed layer: received", {"states": tf.ones((3, 7, 24))}),
    ],
)
def test_wrong_arguments(message, arguments):
    require_native()
    refuses(message, lambda: Case(SMALL).native(**arguments))


def test_wrong_attributes():
    require_native()
    (layer, _) = Case(SMALL).layers
    refuses(
        "heads: received 5", lambda: pack_encoder_layer(layer, 5, "float32")
    )
    for outputs in (1, 3):
        refuses(
            f"wanted: received 2 steps for {outputs} outputs",
            lambda outputs=outputs: library.load().bvkeras_encode_layers(
                *(tf.ones((1, 1, 1)), tf.ones((1, 1), tf.bool)),
                packed=[tf.zeros(1, tf.uint8)],
                M=outputs,
                heads=1,
                inner=1,
                approximate=False,
                steps=[0, 0],
                wanted=[0, 1],
            ),
        )


def test_packed_for_something_else(monkeypatch):
    case = Case(SMALL)
    force_variant(monkeypatch, "portable")
    (layer, _) = case.layers
    packed = pack_encoder_layer(layer, case.heads, "float32")
    for other in (packed[:-1], packed + 1, tf.zeros_like(packed)):
        refuses("packed layer: ", lambda other=other: case.encode([other] * 2))
    refuses(
        "packed layer: ",
        lambda: case.encode([packed] * 2, compute_dtype="bfloat16"),
    )
    force_variant(monkeypatch, "avx2")
    refuses("packed layer: ", lambda: case.encode([packed] * 2))


def refuses(message, function):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        function()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_shapes_are_inferred():
    require_native()
    case = Case(SMALL)
    packed = case.pack()

    def encode(states, mask):
        return case.encode(packed, states=states, mask=mask)

    def traced(states, mask):
        return tf.function(encode).get_concrete_function(
            tf.TensorSpec(states), tf.TensorSpec(mask, tf.bool)
        )

    for shape in ((3, 7, 12), (None, None, 12), (None, 7, None)):
        function = traced(shape, shape[:2])
        for output in function.outputs:
            assert output.shape.as_list() == list(shape)
        for state, expected in zip(
            function(case.states, tf.constant(case.mask)),
            case.encode(packed),
            strict=True,
        ):
            np.testing.assert_array_equal(state, expected)
    for shapes in (((3, 7), (3, 7)), ((3, 7, 12), (3, 7, 12))):
        with pytest.raises(ValueError, match="Shape must be rank"):
            traced(*shapes)


def test_threads_that_call_at_once():
    require_native()
    # A text that threads share, and texts of which each has its own.
    cases = [Case((1, 149, 64, 2, 65)), Case((9, 31, 33, 3, 40))]
    packed = [case.pack() for case in cases]
    expected = [
        case.encode(layers) for case, layers in zip(cases, packed, strict=True)
    ]

    def call(number):
        states = cases[number % 2].encode(packed[number % 2])
        return [state.numpy() for state in states]

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        for number, states in enumerate(threads.map(call, range(40))):
            for state, right in zip(states, expected[number % 2], strict=True):
                np.testing.assert_array_equal(state, right)
