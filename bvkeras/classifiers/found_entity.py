"""What `TokenClassifier.find_entities` finds: the class `FoundEntity`."""

from typing import NamedTuple


class FoundEntity(NamedTuple):
    """An entity as a part of its text.

    The fields are those of a served answer.

    Attributes:
        type: str. What it is, as `"LOC"`.
        text: str. `text[start:end]`.
        start: int. Its first character, in Unicode code points.
        end: int. The character after its last.
        score: float. The mean probability of its words' tags.
    """

    type: str
    text: str
    start: int
    end: int
    score: float
