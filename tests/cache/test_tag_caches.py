"""Caches of sentences with a tag for each word."""

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
from bvkeras.data.sources import load_examples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import CacheError, DataError
from bvkeras.tasks.description import read_task


@pytest.fixture(scope="module")
def made(tiny_bert, token_run, tmp_path_factory):
    """Examples of some sentences, and a cache of them."""
    task = read_task(token_run)
    examples = load_examples(task, "train").take(range(9))
    cache = write_cache(
        load_backbone(tiny_bert, dropout=0.0),
        task,
        examples,
        tmp_path_factory.mktemp("tags") / "cache",
        max_tokens=16,
    )
    return task, examples, cache


def test_tags_come_back(made, tiny_bert, tmp_path):
    _, examples, cache = made
    tokenizer = load_backbone(tiny_bert).tokenizer
    tokens = examples.tokenized(tokenizer, 16, True)
    assert len(cache) == len(tokens) > 9
    copy_cache(cache.directory, tmp_path / "copy")
    convert_cache(cache.directory, tmp_path / "int8", dtype="int8")
    opened = [HiddenStateCache(tmp_path / name) for name in ("copy", "int8")]
    for one in (cache, cache.load(), *opened):
        np.testing.assert_array_equal(one.labels(), tokens.labels)
        found = []
        for (states, mask), labels in one.as_dataset(4):
            if isinstance(states, tuple):
                states = states[0]
            # As wide as their batch.
            assert labels.shape == mask.shape == states.shape[:2]
            found += [row[row >= 0].tolist() for row in labels.numpy()]
        assert found == [row[row >= 0].tolist() for row in tokens.labels]
    for one in opened:
        assert find_problems(one.directory) == []
    batch = next(iter(cache.batches(4)))
    width = batch["hidden_states"].shape[1]
    np.testing.assert_array_equal(batch["label"], tokens.labels[:4, :width])
    np.testing.assert_array_equal(
        batch["offsets"][0, : tokens.lengths[0]], tokens.offsets[0]
    )
    described = describe_cache(cache.directory)["labels"]
    assert described == "one of 5 tags a word, in windows"


def test_tags_that_there_are_not_are_damage(made, tmp_path):
    cache = made[2]
    copy_cache(cache.directory, tmp_path / "copy")
    manifest = Manifest.read(tmp_path / "copy")
    dataclasses.replace(
        manifest, identity={**manifest.identity, "num_tags": 2}
    ).write(tmp_path / "copy")
    with pytest.raises(CacheError, match="not a tag from 0 to 1, or -1"):
        HiddenStateCache(tmp_path / "copy").labels()
    identity = {**manifest.identity, "num_labels": 3}
    dataclasses.replace(manifest, identity=identity).write(tmp_path / "copy")
    with pytest.raises(CacheError, match="tags without offsets, or with"):
        Manifest.read(tmp_path / "copy")


def test_examples_with_other_tags_are_refused(made, tiny_bert, tmp_path):
    task, examples, _ = made
    names = (*examples.label_names, "B-X")
    wrong = dataclasses.replace(examples, label_names=names)
    with pytest.raises(DataError, match=r"has the tags .*B-X, expected O, B-"):
        write_cache(load_backbone(tiny_bert), task, wrong, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
