"""A part of a cache gives what the whole gives of its rows and layers."""

import numpy as np
import pytest

from bvkeras.cache.part import CachePart
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.errors import ArgumentError
from tests.cache.made_caches import LENGTHS, make_cache

_ROWS = np.array([7, 2, 9, 4])


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_rows_and_layers(tmp_path, dtype, loaded):
    whole = HiddenStateCache(make_cache(tmp_path, dtype=dtype))
    part = CachePart(whole.load() if loaded else whole, _ROWS, layers=(0, 2))
    (expected,) = whole.batches(len(whole), dtype=dtype).as_numpy_iterator()
    (found,) = part.batches(4, dtype=dtype).as_numpy_iterator()
    tokens = max(LENGTHS[row] for row in _ROWS)
    for name in found.keys() - {"id", "index"}:
        values = expected[name][_ROWS]
        if name in ("hidden_states", "scales", "mask"):
            values = values[:, :tokens]
        if name in ("hidden_states", "scales"):
            values = values[:, :, [0, 2]]
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert part.ids() == [whole.ids()[row] for row in _ROWS]
    assert part.num_layers == 2
    assert len(part) == 4
    assert part.num_tokens == sum(LENGTHS[row] for row in _ROWS)


def test_all_layers_shuffled(tmp_path):
    part = CachePart(HiddenStateCache(make_cache(tmp_path)), _ROWS)
    labels = [
        label.numpy()
        for (states, _), label in part.as_dataset(3, shuffle=True, bucket=True)
        if states.shape[2] == 3
    ]
    assert [len(label) for label in labels] in ([3, 1], [1, 3])
    assert sorted(np.concatenate(labels)) == sorted(part.labels())


@pytest.mark.parametrize(
    ("rows", "layers", "message"),
    [
        ([], None, "rows: expected"),
        ([11], None, "rows: expected numbers from 0 to 10"),
        ([1, 1], None, "rows: expected"),
        ([1], (), "layers: expected"),
        ([1], (-1,), "layers: expected numbers from 0 to 2"),
    ],
)
def test_not_in_the_cache(tmp_path, rows, layers, message):
    cache = HiddenStateCache(make_cache(tmp_path))
    with pytest.raises(ArgumentError, match=message):
        CachePart(cache, rows, layers)


def test_a_cache_is_split_into_parts_that_share_nothing(tmp_path):
    cache = HiddenStateCache(make_cache(tmp_path))
    train, held_out = cache.split(0.25, seed=1)
    assert len(held_out) == round(len(cache) / 4)
    assert sorted(train.ids() + held_out.ids()) == sorted(cache.ids())
    assert cache.split(0.25, seed=1)[1].ids() == held_out.ids()
    assert cache.split(0.25, seed=2)[1].ids() != held_out.ids()
    assert cache.take([2, 0], layers=[1]).ids() == [
        cache.ids()[2],
        cache.ids()[0],
    ]
    for share in (0, 1, 0.01, float("nan")):
        with pytest.raises(ArgumentError, match="share: expected both parts"):
            cache.split(share)


def test_weights_stand_behind_the_labels(tmp_path):
    cache = HiddenStateCache(make_cache(tmp_path))
    weights = np.arange(len(cache), dtype=np.float32)
    found = {}
    for (states, _), labels, counted in cache.as_dataset(
        3, shuffle=True, weights=weights
    ):
        assert len(states) == len(labels) == len(counted)
        found |= dict(zip(counted.numpy(), labels.numpy(), strict=True))
    expected = dict(zip(weights, cache.labels(), strict=True))
    assert found == expected
    with pytest.raises(ArgumentError, match="weights: expected shape"):
        cache.as_dataset(3, weights=weights[1:])
