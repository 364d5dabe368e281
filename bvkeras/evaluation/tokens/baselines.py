"""What is reached without an encoder: the most frequent tag of each word."""

import collections
from collections.abc import Sequence

from bvkeras.data.token_examples import TokenExamples
from bvkeras.evaluation.tokens.entity_metrics import (
    entity_metrics,
    learned_scheme,
    sentence_counts,
)

MOST_FREQUENT = "each word's most frequent tag"


def most_frequent_tags(
    train: TokenExamples, examples: TokenExamples
) -> list[tuple[str, ...]]:
    """Each word's most frequent tag in training.

    Of a word that training has not, the most frequent tag of all. Case
    counts. Of tags that are equally frequent, the first in the alphabet.

    Args:
        train: TokenExamples. The training split.
        examples: TokenExamples. The sentences to tag.
    """
    by_word: dict[str, collections.Counter] = {}
    overall: collections.Counter = collections.Counter()
    for sentence in train.sentences:
        overall.update(sentence.tags)
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            by_word.setdefault(word, collections.Counter())[tag] += 1
    chosen = {word: _most_frequent(tags) for word, tags in by_word.items()}
    other = _most_frequent(overall)
    return [
        tuple(chosen.get(word, other) for word in sentence.words)
        for sentence in examples.sentences
    ]


def baseline_scores(
    train: TokenExamples, examples: TokenExamples, metrics: Sequence[str]
) -> dict[str, float]:
    """Scores of `most_frequent_tags`.

    Args:
        train: TokenExamples.
        examples: TokenExamples.
        metrics: sequence of str. As `entity_metrics`.
    """
    counts = sentence_counts(
        [sentence.tags for sentence in examples.sentences],
        most_frequent_tags(train, examples),
        learned_scheme(examples.label_names),
    )
    return entity_metrics(metrics, counts.sum(axis=0).tolist())


def _most_frequent(tags):
    return min(tags, key=lambda tag: (-tags[tag], tag))
