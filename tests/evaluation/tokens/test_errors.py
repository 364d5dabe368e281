import dataclasses

import pytest

from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.tokens.error_report import (
    bracketed,
    report_tag_errors,
    tag_error_note,
)
from bvkeras.evaluation.tokens.errors import (
    analyze_tag_errors,
    differing_sentences,
    tag_difference,
)
from bvkeras.evaluation.tokens.tagged_words_file import (
    TaggedAnswers,
    read_tagged,
    write_tagged,
)
from bvkeras.tasks.tag_scheme import TagScheme

GOLD = (
    "B-PER I-PER O B-LOC",
    "B-LOC O O",
    "O O B-PER",
    "B-PER O",
)
GIVEN = (
    "B-PER O O B-PER",  # wrong borders, wrong type
    "B-LOC O O",
    "O B-LOC I-LOC",  # wrong type and borders
    "O B-LOC",  # missed, and invented
)


def answers(tags):
    labels = tuple(tuple(one.split()) for one in GOLD)
    return TaggedAnswers(
        tuple(f"s{n}" for n in range(len(labels))),
        tuple(tuple(f"w\u2028{n}" for n in range(len(t))) for t in labels),
        labels,
        tuple(tuple(one.split()) for one in tags),
        tuple((0.5,) * len(t) for t in labels),
    )


FIRST, SECOND = answers(GIVEN), answers(GOLD)


def test_each_error_is_of_one_sort():
    analysis = analyze_tag_errors(FIRST, SECOND, TagScheme.IOB2, ("a", "b"))
    one, other = analysis.systems
    assert one.errors == {
        "wrong type": 1,
        "wrong borders": 1,
        "wrong type and borders": 1,
        "missed": 1,
        "invented": 1,
    }
    assert one.confused == [("LOC", "PER", 1)]
    assert one.counts == {"correct": 1, "predicted": 5, "labelled": 5}
    assert one.by_type["LOC"]["entity_recall"] == 0.5
    assert not any(other.errors.values())
    assert other.scores["entity_f1"] == 1
    pair = analysis.pair
    assert (pair["both_right"], pair["only_second"]) == (1, 4)
    assert (pair["only_first"], pair["both_wrong"]) == (0, 0)
    assert pair["p_value"] == pytest.approx(2 / 2**4)
    assert pair["difference"] == pytest.approx(0.8)
    assert pair["interval"][0] < 0.8 < pair["interval"][1] + 1e-9
    assert "b less a: entity F1 +0.8000" in tag_error_note(analysis)


def test_no_difference_has_no_width():
    found = tag_difference(
        "entity_f1", FIRST, [FIRST], [FIRST], TagScheme.IOB2, repeats=50
    )
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    with pytest.raises(ArgumentError, match="second: received 0 runs for 1"):
        tag_difference("entity_f1", FIRST, [FIRST], [], TagScheme.IOB2)


def test_files_of_errors(tmp_path):
    report_tag_errors(FIRST, SECOND, TagScheme.IOB2, tmp_path, samples=2)
    text = (tmp_path / "errors.md").read_text("utf-8")
    assert "| wrong type and borders | 1 | 0 |" in text
    header, *rows = (tmp_path / "differences.tsv").read_text().splitlines()
    assert header == "id\tlabels\tfirst\tsecond"
    assert len(rows) == 2
    assert differing_sentences(FIRST, SECOND, 9).tolist() == [0, 2, 3]
    with pytest.raises(ArgumentError, match="count: received -1"):
        differing_sentences(FIRST, SECOND, -1)


def test_entities_in_brackets():
    words = ("Ada", "Lovelace", "in", "Paris")
    tags = ("B-PER", "I-PER", "O", "B-LOC")
    shown = bracketed(words, tags, TagScheme.IOB2)
    assert shown == "[Ada Lovelace](PER) in [Paris](LOC)"


def test_other_sentences_are_named():
    other = dataclasses.replace(SECOND, words=FIRST.words[::-1])
    with pytest.raises(DataError, match="sentence 1 is 's0', expected 's0'"):
        analyze_tag_errors(FIRST, other, TagScheme.IOB2)
    with pytest.raises(DataError, match="second: has 1 sentences"):
        analyze_tag_errors(
            FIRST,
            TaggedAnswers(*(f[:1] for f in dataclasses.astuple(FIRST))),
            TagScheme.IOB2,
        )


def test_answers_come_back_from_their_file(tmp_path):
    write_tagged(tmp_path / "a.jsonl", FIRST)
    assert read_tagged(tmp_path / "a.jsonl") == FIRST


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "has no sentence"),
        ("{", "line 1: is not JSON"),
        ('{"id": "a"}', "line 1: "),
        (
            '{"id": "a", "words": ["b"], "labels": [], "predictions": [], '
            '"probabilities": []}',
            "line 1: has 1, 0, 0, 0 words",
        ),
        (
            '{"id": "a", "words": ["b"], "labels": ["O"], "predictions": '
            '["O"], "probabilities": [2]}',
            "line 1: ",
        ),
    ],
)
def test_what_is_no_file_of_answers(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(DataError, match=message):
        read_tagged(path)
