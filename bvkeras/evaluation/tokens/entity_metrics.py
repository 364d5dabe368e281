"""Scores of tags: of whole entities, and of words."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bvkeras.errors import ArgumentError
from bvkeras.tasks.tag_scheme import OUTSIDE, TagScheme

Tags = Sequence[Sequence[str]]


class EntityCounts(NamedTuple):
    """What metrics are computed from.

    Attributes:
        correct: int. Entities that are predicted as they are labelled: the
            same words and the same type.
        predicted: int.
        labelled: int.
        right_words: int. Words with the tag they are labelled with.
        words: int.
    """

    correct: int
    predicted: int
    labelled: int
    right_words: int = 0
    words: int = 0


def learned_scheme(label_names: Sequence[str] | None) -> TagScheme:
    """The scheme of a task's labels, as models learn them."""
    return TagScheme.IOB2 if OUTSIDE in (label_names or ()) else TagScheme.PLAIN


def sentence_counts(
    labels: Tags, predictions: Tags, scheme: TagScheme = TagScheme.IOB2
) -> np.ndarray:
    """The counts of each sentence.

    Args:
        labels: sequence of sequences of str, one tag a word.
        predictions: the same. As many tags in each.
        scheme: TagScheme. Of both. Defaults to IOB2.

    Returns:
        int64 array `(sentences, 5)`, the columns of `EntityCounts`.

    Raises:
        ArgumentError: there are not as many; names the sentence.
    """
    if len(labels) != len(predictions):
        raise ArgumentError(
            f"predictions: received {len(predictions)} sentences for "
            f"{len(labels)} of labels"
        )
    counts = np.zeros((len(labels), len(EntityCounts._fields)), np.int64)
    for row, (gold, given) in enumerate(zip(labels, predictions, strict=True)):
        if len(gold) != len(given):
            raise ArgumentError(
                f"predictions: sentence {row} has {len(given)} tags for "
                f"{len(gold)} words"
            )
        wanted, found = set(scheme.entities(gold)), set(scheme.entities(given))
        right = sum(
            one == other for one, other in zip(gold, given, strict=True)
        )
        counts[row] = EntityCounts(
            len(wanted & found), len(found), len(wanted), right, len(gold)
        )
    return counts


def type_counts(
    labels: Tags, predictions: Tags, scheme: TagScheme = TagScheme.IOB2
) -> dict[str, EntityCounts]:
    """The counts of each type of entities, sorted by its name.

    Args:
        labels: as `sentence_counts`, and so are the others.
        predictions: sequence of sequences of str.
        scheme: TagScheme.
    """
    counts: dict[str, list[int]] = {}
    for gold, given in zip(labels, predictions, strict=True):
        wanted, found = set(scheme.entities(gold)), set(scheme.entities(given))
        for place, entities in enumerate((wanted & found, found, wanted)):
            for entity in entities:
                counts.setdefault(entity.type, [0, 0, 0])[place] += 1
    return {kind: EntityCounts(*counts[kind]) for kind in sorted(counts)}


def entity_metrics(
    names: Sequence[str], counts: Sequence[int] | EntityCounts
) -> dict[str, float]:
    """Metrics of counts, those of a sentence or summed over several.

    `"entity_precision"`, `"entity_recall"` and `"entity_f1"` are micro
    averages over all types; an entity counts if its words and its type are
    right. `"word_accuracy"` is the share of words with the right tag. Without
    an entity to divide by, a score is 0.

    Args:
        names: sequence of str.
        counts: sequence of int, as `EntityCounts`.

    Raises:
        ArgumentError: there is no such metric.

    Reference:
        Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003
        Shared Task"; the same numbers as seqeval's.
    """
    counts = EntityCounts(*counts)
    for name in names:
        if name not in ENTITY_METRICS:
            raise ArgumentError(
                f"names: unknown metric {name!r}; expected one of "
                f"{', '.join(ENTITY_METRICS)}"
            )
    return {name: ENTITY_METRICS[name](counts) for name in names}


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0


ENTITY_METRICS: dict[str, Callable[[EntityCounts], float]] = {
    "entity_f1": lambda c: _share(2 * c.correct, c.predicted + c.labelled),
    "entity_precision": lambda c: _share(c.correct, c.predicted),
    "entity_recall": lambda c: _share(c.correct, c.labelled),
    "word_accuracy": lambda c: _share(c.right_words, c.words),
}
