"""Small searches on made-up caches."""

import dataclasses

import keras_tuner
import numpy as np

from bvkeras import tasks
from bvkeras.cache.format import Manifest
from bvkeras.cache.pairs import CachePairs
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.spaces import Choice, HeadSpace, Range
from tests.cache.made_caches import make_cache

# Three classes, as the made-up caches have; those are of task sst2.
CLASSES = dataclasses.replace(tasks.get("mnli"), name="sst2")
APART = dataclasses.replace(CLASSES, text_columns=("a", "b"), pairs="apart")
SCORES = tasks.get("stsb")
LABELS = dataclasses.replace(
    CLASSES, kind=tasks.Kind.LABELS, metrics=("micro_f1",)
)

SPACE = HeadSpace(
    units=Choice((2, 3)),
    learning_rate=Range(1e-3, 3e-2, log=True),
    projection_rate=Range(0.05, 1.0),
    dropout=Choice((0.0, 0.4)),
    weight_decay=Choice((0.0, 0.1)),
    batch_size=8,
    epochs=2,
    projection_initializer=Choice(("zeros", "glorot_uniform")),
)


def made_cache(directory, task=CLASSES, **settings):
    """A cache of 40 examples of 2 to 16 tokens."""
    lengths = np.random.default_rng(1).integers(2, 17, 40).tolist()
    settings = {"lengths": lengths, "num_layers": 3, "hidden_dim": 6} | settings
    if task.several_labels:
        settings["num_labels"] = task.num_labels
    path = make_cache(directory, regression=task.is_regression, **settings)
    if task.is_apart:
        _make_pairs(path, task)
    return HiddenStateCache(path)


def _make_pairs(path, task):
    """Makes of a cache of texts one of 40 pairs of them."""
    random = np.random.default_rng(2)
    first, second = random.integers(0, 40, (2, 40))
    pairs = CachePairs(
        first,
        second,
        random.integers(0, task.num_labels, 40),
        [f"pair-{place}".encode() for place in range(40)],
    )
    pairs.write(path)
    manifest = Manifest.read(path)
    identity = {**manifest.identity, **pairs.identity()}
    dataclasses.replace(manifest, identity=identity).write(path)


def made_hypermodel(directory, task=CLASSES, space=SPACE, **settings):
    return HeadHyperModel(task, made_cache(directory, task), space, **settings)


def drawn(model, count, seed=0, **values):
    """HyperParameters of some trials at random, with some values given."""
    space = keras_tuner.HyperParameters()
    model.declare_hyperparameters(space)
    trials = []
    for number in range(count):
        hp = space.copy()
        for place, entry in enumerate(space.space):
            hp.values[entry.name] = entry.random_sample(
                1000 * seed + 100 * number + place
            )
        hp.values |= values
        trials.append(hp)
    return trials


def random_oracle(model, trials, seed=1):
    return keras_tuner.oracles.RandomSearchOracle(
        model.objective, max_trials=trials, seed=seed
    )
