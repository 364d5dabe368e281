"""Small searches on made-up caches."""

import dataclasses

import keras_tuner
import numpy as np

from bvkeras import tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.spaces import Choice, HeadSpace, Range
from tests.cache.made_caches import make_cache

# Three classes, as the made-up caches have; those are of task sst2.
CLASSES = dataclasses.replace(tasks.get("mnli"), name="sst2")
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
    return HiddenStateCache(path)


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
