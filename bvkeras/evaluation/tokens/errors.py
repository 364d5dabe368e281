"""Where two systems that tag the same words are right and wrong."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats

from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.error_analysis import right_together
from bvkeras.evaluation.paired_bootstrap import ScoreDifference
from bvkeras.evaluation.tokens.entity_metrics import (
    EntityCounts,
    entity_metrics,
    sentence_counts,
    type_counts,
)
from bvkeras.evaluation.tokens.tagged_words_file import TaggedAnswers
from bvkeras.tasks.tag_scheme import Entity, TagScheme

# What is wrong with an entity, in the order it is asked.
ERRORS = (
    "wrong type",
    "wrong borders",
    "wrong type and borders",
    "missed",
    "invented",
)
_SCORES = ("entity_precision", "entity_recall", "entity_f1", "word_accuracy")
_REPEATS = 1000


@dataclasses.dataclass(frozen=True)
class TagErrors:
    """What one system finds right and wrong.

    Attributes:
        name: str.
        scores: dict of metric to score, of all types.
        counts: dict of `correct`, `predicted` and `labelled` entities.
        by_type: dict of type to a dict of those counts with precision, recall
            and F1.
        errors: dict of each of `ERRORS` to how often: of labelled entities,
            of which another type, other borders, or both were given, or
            nothing that touches them; and of given ones that touch none.
        confused: list of `[labelled type, given type, how often]` of equal
            borders, the most frequent first.
    """

    name: str
    scores: dict[str, float]
    counts: dict[str, int]
    by_type: dict[str, dict[str, float | int]]
    errors: dict[str, int]
    confused: list[tuple[str, str, int]]


@dataclasses.dataclass(frozen=True)
class TagErrorAnalysis:
    """Two systems on the same sentences.

    Attributes:
        sentences: int.
        words: int.
        entities: int. Labelled ones.
        systems: list of two `TagErrors`.
        pair: dict. `agreement` (share of words with the same tag of both),
            `both_right`, `only_first`, `only_second`, `both_wrong` (labelled
            entities), `overlap` (both right, share of all), `p_value`
            (McNemar's test of the labelled entities, exact: it takes them as
            independent of each other), `difference` (F1 of second - first)
            and `interval` (95%, paired, from a bootstrap over sentences).
    """

    sentences: int
    words: int
    entities: int
    systems: list[TagErrors]
    pair: dict[str, float | int | tuple[float, float]]


def analyze_tag_errors(
    first: TaggedAnswers,
    second: TaggedAnswers,
    scheme: TagScheme,
    names: Sequence[str] = ("first", "second"),
) -> TagErrorAnalysis:
    """Compares two systems' tags, entity by entity.

    Args:
        first: TaggedAnswers.
        second: TaggedAnswers. Of the same sentences, in the same order.
        scheme: TagScheme. Of the tags.
        names: sequence of two str.

    Raises:
        DataError: the two are not of the same sentences.
    """
    require_same_sentences(first, second)
    gold = [set(scheme.entities(tags)) for tags in first.labels]
    rights = [
        np.array(
            [
                entity in found
                for wanted, tags in zip(gold, one.predictions, strict=True)
                for found in [set(scheme.entities(tags))]
                for entity in sorted(wanted)
            ],
            bool,
        )
        for one in (first, second)
    ]
    same = [
        tag == other
        for one, two in zip(first.predictions, second.predictions, strict=True)
        for tag, other in zip(one, two, strict=True)
    ]
    together = (
        right_together(*rights)
        if rights[0].size
        else dict.fromkeys(
            ("both_right", "only_first", "only_second", "both_wrong"), 0
        )
        | {"overlap": 0.0, "p_value": 1.0}
    )
    difference = tag_difference("entity_f1", first, [first], [second], scheme)
    return TagErrorAnalysis(
        sentences=len(first),
        words=len(same),
        entities=len(rights[0]),
        systems=[
            _tag_errors(name, answers, scheme)
            for name, answers in zip(names, (first, second), strict=True)
        ],
        pair={
            "agreement": float(np.mean(same)),
            **together,
            "difference": difference.difference,
            "interval": (difference.low, difference.high),
        },
    )


def tag_difference(
    metric: str,
    labels: TaggedAnswers,
    first: Sequence[TaggedAnswers],
    second: Sequence[TaggedAnswers],
    scheme: TagScheme,
    repeats: int = _REPEATS,
    seed: int = 0,
) -> ScoreDifference:
    """The difference of two systems' scores, with its bootstrap interval.

    Sentences are drawn with replacement, as many as there are, the same for
    both systems; otherwise as
    `bvkeras.evaluation.paired_bootstrap.paired_difference`.

    Args:
        metric: str. As `entity_metrics`.
        labels: TaggedAnswers. Whose labels count.
        first: sequence of TaggedAnswers. The first system's, one a run.
        second: sequence of as many. The second system's.
        scheme: TagScheme.
        repeats: int. How often is drawn. Defaults to `1000`.
        seed: int. Seed of the draws.

    Raises:
        ArgumentError: there is no run, or not as many of both.
    """
    if not first or len(first) != len(second):
        raise ArgumentError(
            f"second: received {len(second)} runs for {len(first)} of first; "
            "expected as many, at least 1"
        )
    counts = [
        [
            sentence_counts(labels.labels, one.predictions, scheme)
            for one in system
        ]
        for system in (first, second)
    ]

    def difference(rows: np.ndarray) -> float:
        one, other = (
            np.mean(
                [
                    entity_metrics([metric], run[rows].sum(axis=0).tolist())[
                        metric
                    ]
                    for run in system
                ]
            )
            for system in counts
        )
        return float(other - one)

    rows = np.arange(len(labels))
    found = difference(rows)
    if len(labels) < 2:
        return ScoreDifference(found, found, found)
    interval = scipy.stats.bootstrap(
        (rows,),
        difference,
        n_resamples=repeats,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return ScoreDifference(found, float(interval.low), float(interval.high))


def differing_sentences(
    first: TaggedAnswers, second: TaggedAnswers, count: int, seed: int = 0
) -> np.ndarray:
    """A random choice of the sentences that two systems tag otherwise.

    Args:
        first: TaggedAnswers.
        second: TaggedAnswers. Of the same sentences.
        count: int. At most so many.
        seed: int. Seed of the choice.

    Returns:
        int array of positions, in order.

    Raises:
        ArgumentError: `count` is below 0.
    """
    if count < 0:
        raise ArgumentError(f"count: received {count}, expected at least 0")
    rows = [
        row
        for row, (one, other) in enumerate(
            zip(first.predictions, second.predictions, strict=True)
        )
        if one != other
    ]
    chosen = np.random.default_rng(seed).permutation(rows)[:count]
    return np.sort(chosen).astype(np.int64)


def require_same_sentences(first: TaggedAnswers, second: TaggedAnswers) -> None:
    """Refuses answers to other sentences, or with other labels.

    Raises:
        DataError: they are; names the first such sentence.
    """
    if len(first) != len(second):
        raise DataError(
            f"second: has {len(second)} sentences, first has {len(first)}; "
            "expected the same"
        )
    for row, name in enumerate(first.ids):
        one, other = (
            (a.ids[row], a.words[row], a.labels[row]) for a in (first, second)
        )
        if one != other:
            raise DataError(
                f"second: sentence {row + 1} is {second.ids[row]!r}, expected "
                f"{name!r} with the words and labels it has in first"
            )


def _tag_errors(name, answers, scheme) -> TagErrors:
    counts = EntityCounts(
        *sentence_counts(answers.labels, answers.predictions, scheme)
        .sum(axis=0)
        .tolist()
    )
    errors: collections.Counter[str] = collections.Counter()
    confused: collections.Counter[tuple[str, str]] = collections.Counter()
    for labels, tags in zip(answers.labels, answers.predictions, strict=True):
        wanted, found = scheme.entities(labels), scheme.entities(tags)
        right = set(wanted) & set(found)
        for entity in set(wanted) - right:
            what, other = _error(entity, set(found) - right)
            errors[what] += 1
            if what == "wrong type" and other:
                confused[entity.type, other.type] += 1
        for entity in found:
            if entity not in right and not _touching(entity, wanted):
                errors["invented"] += 1
    return TagErrors(
        name=name,
        scores=entity_metrics(_SCORES, counts),
        counts=_shown(counts),
        by_type={
            kind: _shown(of_type) | entity_metrics(_SCORES[:3], of_type)
            for kind, of_type in type_counts(
                answers.labels, answers.predictions, scheme
            ).items()
        },
        errors={what: errors[what] for what in ERRORS},
        confused=[
            (*pair, count)
            for pair, count in sorted(
                confused.items(), key=lambda item: (-item[1], item[0])
            )
        ],
    )


def _error(entity: Entity, found: set[Entity]) -> tuple[str, Entity | None]:
    """What is wrong with a labelled entity that was not found."""
    touching = sorted(_touching(entity, found))
    for other in touching:
        if other[1:] == entity[1:]:
            return "wrong type", other
    for other in touching:
        if other.type == entity.type:
            return "wrong borders", other
    if touching:
        return "wrong type and borders", touching[0]
    return "missed", None


def _touching(entity, others):
    return [
        other
        for other in others
        if other.first <= entity.last and entity.first <= other.last
    ]


def _shown(counts):
    return {
        name: getattr(counts, name)
        for name in ("correct", "predicted", "labelled")
    }
