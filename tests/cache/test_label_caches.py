"""Caches of texts with several labels each."""

import dataclasses

import numpy as np
import pytest

from bvkeras.cache.convert import convert_cache
from bvkeras.cache.copy import copy_cache
from bvkeras.cache.format import Manifest
from bvkeras.cache.info import describe_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import CacheError, DataError
from tests.tiny_runs import LABELS, make_examples


@pytest.fixture(scope="module")
def cache(tiny_bert, tmp_path_factory):
    return write_cache(
        load_backbone(tiny_bert, dropout=0.0),
        LABELS,
        make_examples(12, LABELS),
        tmp_path_factory.mktemp("labels") / "cache",
        max_tokens=16,
    )


def labels_of(cache, batch_size=5):
    batches = [labels.numpy() for _, labels in cache.as_dataset(batch_size)]
    return np.concatenate(batches)


def test_labels_come_back(cache, tmp_path):
    expected = make_examples(12, LABELS).labels
    assert expected.dtype == np.float32
    copy_cache(cache.directory, tmp_path / "copy")
    convert_cache(cache.directory, tmp_path / "int8", dtype="int8")
    opened = [HiddenStateCache(tmp_path / name) for name in ("copy", "int8")]
    for one in (cache, cache.load(), *opened):
        found = labels_of(one)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(one.labels(), expected)
    for one in opened:
        assert find_problems(one.directory) == []
    batch = next(iter(cache.batches(4)))
    np.testing.assert_array_equal(batch["label"], expected[:4])
    assert describe_cache(cache.directory)["labels"] == "any of 3 labels each"


def test_another_number_of_labels_is_damage(cache, tmp_path):
    copy_cache(cache.directory, tmp_path / "copy")
    manifest = Manifest.read(tmp_path / "copy")
    dataclasses.replace(
        manifest, identity={**manifest.identity, "num_labels": 2}
    ).write(tmp_path / "copy")
    with pytest.raises(CacheError, match="not 0 or 1 for each of 2 labels"):
        HiddenStateCache(tmp_path / "copy").labels()


@pytest.mark.parametrize(
    "labels",
    [np.full((4, 3), 0.5), np.zeros((4, 2)), np.zeros(4)],
)
def test_labels_of_no_such_task_are_refused(tiny_bert, tmp_path, labels):
    examples = dataclasses.replace(make_examples(4, LABELS), labels=labels)
    with pytest.raises(
        DataError, match=r"'zoë-0'.*0 or 1 for each of 3 labels"
    ):
        write_cache(
            load_backbone(tiny_bert), LABELS, examples, tmp_path / "cache"
        )
