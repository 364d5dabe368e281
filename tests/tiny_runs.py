"""A small learnable task and broken calls, for whole runs in seconds."""

import dataclasses

import numpy as np

from bvkeras import tasks
from bvkeras.data.examples import Examples
from bvkeras.encoders.loading import load_backbone
from bvkeras.training.finetune import finetune

CLASSES = tasks.get("sst2")
SCORES = tasks.get("stsb")
LABELS = dataclasses.replace(
    CLASSES,
    name="traits",
    title="Traits",
    label_names=("long", "seven", "never"),
    metrics=("micro_f1", "macro_f1", "subset_accuracy"),
    kind=tasks.Kind.LABELS,
)


def make_examples(num_examples=40, task=CLASSES, split="train"):
    """Texts of 4 to 16 tokens; one word at the start gives the label.

    Of several labels also the length gives one, and nothing the last.
    """
    numbers = np.arange(num_examples)
    labels = numbers % 2
    if task.is_regression:
        labels = (labels + numbers / 100).astype(np.float32)
    if task.several_labels:
        labels = np.stack([numbers % 5 > 2, labels, 0 * labels], axis=1)
    texts = tuple(
        ("7 7 " if i % 2 else "z z ") + "a b c " * (i % 5) for i in numbers
    )
    return Examples(
        task.name,
        split,
        tuple(f"zoë-{i}" for i in numbers),
        texts,
        None,
        labels,
    )


def fail_at_call(monkeypatch, owner, name, number, error):
    """Makes call `number` (from 1) of `owner.name` raise, before it acts."""
    original, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(name)
        if len(calls) == number:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


def forbid(monkeypatch, owner, name):
    """Makes every call of `owner.name` fail the test."""
    fail = AssertionError(f"{name} was called")
    return fail_at_call(monkeypatch, owner, name, 1, fail)


# 40 examples are 5 steps an epoch.
FINETUNE = {
    "learning_rate": 5e-3,
    "batch_size": 8,
    "max_tokens": 16,
    "epochs": (0.5, 1, 2),
    "dropout": 0.2,
    "seed": 3,
}


def finetune_classes(tiny_bert, directory, sentence_pooling=None, **changes):
    """Fine-tunes a fresh tiny BERT on CLASSES; gives the snapshots."""
    return finetune(
        load_backbone(tiny_bert, sentence_pooling=sentence_pooling),
        CLASSES,
        make_examples(),
        directory,
        **{**FINETUNE, **changes},
    )


def encoder_weights(directory):
    """The weights of a saved encoder, by their paths."""
    return {
        weight.path: weight.numpy()
        for weight in load_backbone(directory).backbone.weights
    }
