import pytest

from bvkeras.tasks.tag_scheme import Entity, TagScheme, inside

LEARNED = ("O", "B-X", "I-X", "I-X", "B-X", "O", "B-Y", "B-X")
SAME = {
    TagScheme.IOB1: "O I-X I-X I-X B-X O I-Y I-X",
    TagScheme.IOB2: "O B-X I-X I-X B-X O B-Y B-X",
    TagScheme.IOBES: "O B-X I-X E-X S-X O S-Y S-X",
    TagScheme.BILOU: "O B-X I-X L-X U-X O U-Y U-X",
}


@pytest.mark.parametrize("scheme", SAME)
def test_tags_of_files_are_learned_as_iob2_and_come_back(scheme):
    tags = tuple(SAME[scheme].split())
    assert TagScheme.of([tags]) is scheme
    assert scheme.to_learned(tags) == LEARNED
    assert scheme.from_learned(LEARNED) == tags
    assert not scheme.is_broken(tags)
    assert scheme.label_names([tags]) == ("O", "B-X", "I-X", "B-Y", "I-Y")


def test_types_alone_are_runs_and_plain_tags_are_words():
    tags = ["O", "X", "X", "O", "Y"]
    assert TagScheme.of([tags]) is TagScheme.IO
    assert TagScheme.IO.entities(tags) == [Entity("X", 1, 2), Entity("Y", 4, 4)]
    # Neighbours of one type cannot be told apart.
    assert TagScheme.IO.from_learned(("B-X", "B-X")) == ("X", "X")
    tags = ("DET", "NOUN", "NOUN")
    assert TagScheme.of([tags]) is TagScheme.PLAIN
    assert TagScheme.PLAIN.to_learned(tags) == tags
    assert TagScheme.PLAIN.label_names([tags]) == ("DET", "NOUN")
    assert TagScheme.PLAIN.entities(tags)[2] == Entity("NOUN", 2, 2)


def test_letters_without_a_type():
    tags = ("B", "I", "O", "B")
    assert TagScheme.of([tags]) is TagScheme.IOB2
    assert TagScheme.IOB2.to_learned(tags) == ("B-_", "I-_", "O", "B-_")
    assert TagScheme.IOB2.from_learned(("B-_", "I-_", "O", "B-_")) == tags


@pytest.mark.parametrize(
    ("scheme", "tags", "learned"),
    [
        (TagScheme.IOB2, "O I-X B-Y I-X", "O B-X B-Y B-X"),
        (TagScheme.IOBES, "B-X O I-X E-Y", "B-X O B-X B-Y"),
        (TagScheme.IOBES, "E-X E-X S-X I-X", "B-X B-X B-X B-X"),
        (TagScheme.IOB1, "B-X O", "B-X O"),
    ],
)
def test_broken_tags_begin_entities(scheme, tags, learned):
    assert scheme.to_learned(tags.split()) == tuple(learned.split())
    assert scheme.is_broken(tags.split())


def test_what_goes_on_inside_a_word():
    assert [inside(tag) for tag in ("B-X", "I-X", "O", "NOUN")] == [
        *("I-X", "I-X", "O", "NOUN")
    ]
