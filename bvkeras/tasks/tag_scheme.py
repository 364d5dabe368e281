"""How tags of words mark entities: the class `TagScheme`."""

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple

OUTSIDE = "O"
# The type of entities whose tags name none: `B`, `I` and `O` alone.
UNNAMED = "_"

_BEGINS, _INSIDE = "B", "I"
_PREFIXES = "BIESLU"
# Other letters for the same.
_SAME = {"L": "E", "U": "S"}


class Entity(NamedTuple):
    """Words that belong together.

    Attributes:
        type: str. What it is, as `"LOC"`.
        first: int. Its first word.
        last: int. Its last word.
    """

    type: str
    first: int
    last: int


class TagScheme(enum.Enum):
    """What the letters in front of tags mean; the value is its name.

    Whatever the scheme of somebody's files, models learn IOB2: `B-LOC` begins
    an entity, `I-LOC` goes on with it, `O` is none. Tags of words that are
    all something, as parts of speech, are learned as they are.

    Attributes:
        IOB1: `B-` only where an entity follows another of its type.
        IOB2: `B-` at every beginning.
        IOBES: also `E-` at the end, and `S-` for a single word.
        BILOU: the same with the letters `L-` and `U-`.
        IO: types alone, and `O`; a run of one type is one entity.
        PLAIN: no `O`: each word has a tag of its own.

    Reference:
        Ramshaw and Marcus 1995, "Text Chunking using Transformation-Based
        Learning"; Ratinov and Roth 2009, "Design Challenges and Misconceptions
        in Named Entity Recognition".
    """

    IOB1 = "iob1"
    IOB2 = "iob2"
    IOBES = "iobes"
    BILOU = "bilou"
    IO = "io"
    PLAIN = "plain"

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]]) -> "TagScheme":
        """The scheme that the tags of some sentences are in.

        Args:
            sentences: iterable of sequences of str.
        """
        sentences = [list(tags) for tags in sentences]
        tags = {tag for sentence in sentences for tag in sentence}
        if not _are_prefixed(tags):
            return cls.IO if OUTSIDE in tags else cls.PLAIN
        letters = {tag[0] for tag in tags if tag != OUTSIDE}
        if letters & {"L", "U"}:
            return cls.BILOU
        if letters & {"E", "S"}:
            return cls.IOBES
        for scheme in (cls.IOB2, cls.IOB1):
            if not any(scheme.is_broken(sentence) for sentence in sentences):
                return scheme
        return cls.IOB2

    def entities(self, tags: Sequence[str]) -> list[Entity]:
        """The entities of a sentence.

        Broken tags are read as conlleval and seqeval read them: one that goes
        on with nothing begins an entity.

        Args:
            tags: sequence of str, one a word.

        Reference:
            Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003
            Shared Task", and its script conlleval.
        """
        found: list[Entity] = []
        letter, kind, first = OUTSIDE, "", 0
        for place, tag in enumerate([*tags, OUTSIDE]):
            next_letter, next_kind = self._parts(tag)
            goes_on = (
                OUTSIDE not in (letter, next_letter)
                and letter not in "ES"
                and next_letter not in "BS"
                and kind == next_kind
            )
            if not goes_on:
                if letter != OUTSIDE:
                    found.append(Entity(kind, first, place - 1))
                first = place
            letter, kind = next_letter, next_kind
        return found

    def to_learned(self, tags: Sequence[str]) -> tuple[str, ...]:
        """Tags as models learn them: IOB2, and plain ones as they are.

        Args:
            tags: sequence of str, one a word.
        """
        if self is TagScheme.PLAIN:
            return tuple(tags)
        learned = [OUTSIDE] * len(tags)
        for kind, first, last in self.entities(tags):
            learned[first] = f"{_BEGINS}-{kind}"
            for place in range(first + 1, last + 1):
                learned[place] = f"{_INSIDE}-{kind}"
        return tuple(learned)

    def from_learned(self, tags: Sequence[str]) -> tuple[str, ...]:
        """Tags as `to_learned` gives them, or a model, in this scheme.

        Args:
            tags: sequence of str, one a word.
        """
        if self is TagScheme.PLAIN:
            return tuple(tags)
        found = [OUTSIDE] * len(tags)
        before = None
        for entity in self.learned.entities(tags):
            letters = self._letters(entity, before)
            for place, letter in enumerate(letters, start=entity.first):
                found[place] = _joined(letter, entity.type)
            before = entity
        return tuple(found)

    @property
    def learned(self) -> "TagScheme":
        """The scheme that models learn."""
        return TagScheme.PLAIN if self is TagScheme.PLAIN else TagScheme.IOB2

    def is_broken(self, tags: Sequence[str]) -> bool:
        """Whether tags follow one another as they cannot in this scheme."""
        return self.from_learned(self.to_learned(tags)) != tuple(tags)

    def label_names(
        self, sentences: Iterable[Sequence[str]]
    ) -> tuple[str, ...]:
        """The labels to learn: `O`, then `B-` and `I-` of each type, sorted.

        Of plain tags these, sorted.

        Args:
            sentences: iterable of sequences of str, in this scheme.
        """
        if self is TagScheme.PLAIN:
            return tuple(sorted({tag for tags in sentences for tag in tags}))
        kinds = sorted(
            {
                entity.type
                for tags in sentences
                for entity in self.entities(tags)
            }
        )
        return (
            OUTSIDE,
            *(f"{letter}-{kind}" for kind in kinds for letter in "BI"),
        )

    def _parts(self, tag):
        """Letter and type of a tag; `O` and "" outside of entities."""
        if self is TagScheme.PLAIN:
            return "S", tag
        if tag == OUTSIDE:
            return OUTSIDE, ""
        if self is TagScheme.IO:
            return _INSIDE, tag
        letter, _, kind = tag.partition("-")
        return _SAME.get(letter, letter), kind or UNNAMED

    def _letters(self, entity, before):
        """The letters of an entity's words; "" where tags have none."""
        count = entity.last - entity.first + 1
        if self is TagScheme.IO:
            return [""] * count
        if self is TagScheme.IOB1:
            follows = (
                before is not None
                and before.last == entity.first - 1
                and before.type == entity.type
            )
            return ["B" if follows else "I", *"I" * (count - 1)]
        if self is TagScheme.IOB2:
            return ["B", *"I" * (count - 1)]
        last, single = "ES" if self is TagScheme.IOBES else "LU"
        if count == 1:
            return [single]
        return ["B", *"I" * (count - 2), last]


def inside(tag: str) -> str:
    """The learned tag of what goes on where another one stands.

    Args:
        tag: str. As `TagScheme.to_learned` gives it.
    """
    if tag.startswith(f"{_BEGINS}-"):
        return f"{_INSIDE}-{tag[2:]}"
    return tag


def _are_prefixed(tags):
    """Whether all tags but `O` have a letter in front, or are one alone."""
    named = tags - {OUTSIDE}
    if not named:
        return True
    if all(
        tag[0] in _PREFIXES and tag[1:2] == "-" and tag[2:] for tag in named
    ):
        return True
    # Without `O` and a word that goes on these are as well plain tags.
    return OUTSIDE in tags and "I" in tags and named <= set(_PREFIXES)


def _joined(letter, kind):
    if not letter:
        return kind
    return letter if kind == UNNAMED else f"{letter}-{kind}"
