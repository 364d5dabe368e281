import json
import pathlib

import pytest

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.tokens.entity_metrics import (
    EntityCounts,
    entity_metrics,
    sentence_counts,
    type_counts,
)
from bvkeras.tasks.tag_scheme import TagScheme

# Made by make_reference.py, most of it of tags that break their scheme.
_CASES = json.loads(
    pathlib.Path(__file__).with_name("seqeval_reference.json").read_text()
)


@pytest.mark.parametrize("scheme", ["iob1", "iob2", "iobes"])
def test_the_same_entities_and_scores_as_seqeval(scheme):
    cases = [case for case in _CASES if case["scheme"] == scheme]
    scheme = TagScheme(scheme)
    assert len(cases) >= 40
    for case in cases:
        labels, predictions = case["labels"], case["predictions"]
        entities = [list(map(list, scheme.entities(tags))) for tags in labels]
        assert entities == case["entities"]
        counts = sentence_counts(labels, predictions, scheme).sum(axis=0)
        assert entity_metrics(list(case["metrics"]), counts) == pytest.approx(
            case["metrics"], abs=1e-12
        )
        # What models learn of it is no other thing.
        learned = [
            list(map(scheme.to_learned, x)) for x in (labels, predictions)
        ]
        found = sentence_counts(*learned).sum(axis=0)
        assert (found[:3] == counts[:3]).all()


def test_counts_of_types_are_those_of_all():
    labels = [["B-LOC", "O", "B-PER", "I-PER"]]
    predictions = [["B-LOC", "B-LOC", "B-PER", "O"]]
    counts = type_counts(labels, predictions)
    assert counts == {
        "LOC": EntityCounts(1, 2, 1),
        "PER": EntityCounts(0, 1, 1),
    }
    assert sentence_counts(labels, predictions).tolist() == [[1, 3, 2, 2, 4]]


def test_plain_tags_are_entities_of_one_word():
    scores = entity_metrics(
        ["entity_f1", "word_accuracy"],
        sentence_counts(
            [["NOUN", "NOUN", "VERB", "DET"]],
            [["NOUN", "VERB", "VERB", "DET"]],
            TagScheme.PLAIN,
        )[0],
    )
    assert scores == {"entity_f1": 0.75, "word_accuracy": 0.75}


def test_nothing_to_divide_by_is_zero():
    counts = sentence_counts([["O"]], [["O"]])[0]
    names = ["entity_f1", "entity_precision", "entity_recall", "word_accuracy"]
    assert list(entity_metrics(names, counts).values()) == [0, 0, 0, 1]


def test_what_does_not_fit_is_named():
    with pytest.raises(ArgumentError, match="sentence 1 has 1 tags for 2"):
        sentence_counts([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ArgumentError, match="unknown metric 'f1'"):
        entity_metrics(["f1"], [0] * 5)
